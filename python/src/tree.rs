//! What hangs on an image, and who can read its signatures.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::client::Inner;
use crate::inputs::loads;
use crate::runtime;

/// `Client.tree`.
pub fn tree<'py>(
    py: Python<'py>,
    client: &Arc<Inner>,
    image: &str,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = crate::inputs::image(py, image)?;
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let tree = runtime::wait(py, local, &call, async move { client.client()?.tree(&reference, &bounds).await })?;
    loads(py, &tree.json())
}

/// `Client.doctor`.
pub fn doctor<'py>(
    py: Python<'py>,
    client: &Arc<Inner>,
    image: &str,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = crate::inputs::image(py, image)?;
    let call = client.call(py, timeout)?;
    let (client, bounds, local) = (client.clone(), call.clone(), reference.is_local());
    let found = runtime::wait(py, local, &call, async move { client.client()?.doctor(&reference, &bounds).await })?;
    loads(py, &found.json())
}
