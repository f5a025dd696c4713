//! Storing a signature that was made elsewhere.

use std::sync::Arc;

use cosign_core::SignOptions;
use pyo3::prelude::*;

use crate::client::Inner;
use crate::inputs::Data;
use crate::runtime;
use crate::sign::SignedImage;

/// `Client.attach_signature`.
pub fn attach_signature(
    py: Python<'_>,
    client: &Arc<Inner>,
    image: &str,
    signature: &Bound<'_, PyAny>,
    options: SignOptions,
    timeout: Option<f64>,
) -> PyResult<SignedImage> {
    let reference = crate::inputs::image(py, image)?;
    let signature = Data::from(signature, "signature")?.as_slice().to_vec();
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let signed = runtime::wait(py, local, &call, async move {
        client.client()?.attach_signature(&reference, &signature, &options, &bounds).await
    })?;
    SignedImage::new(py, image, &signed)
}
