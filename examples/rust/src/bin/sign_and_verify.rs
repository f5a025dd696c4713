//! Signs the image that the first argument names with a new key, and verifies it.
//!
//!     cp -r examples/image /tmp/image && cargo run -p cosign-example --bin sign_and_verify oci:/tmp/image:v1

use cosign_core::blocking::Client;
use cosign_core::{Call, ImageRef, KeyAlgorithm, Policy, PrivateKey, Result, SignOptions, VerifyOptions};

fn main() -> Result<()> {
    let image = ImageRef::parse(&std::env::args().nth(1).unwrap_or("oci:image:v1".into()))?;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let client = Client::new(Default::default())?;
    client.sign(&image, &key, &SignOptions::default(), &Call::new())?;

    let policy = Policy::new().with_key(key.public_key());
    let verified = client.verify(&image, &policy, &VerifyOptions::default(), &Call::new())?;
    println!("{}: {} good signature(s)", verified.digest(), verified.count());
    Ok(())
}
