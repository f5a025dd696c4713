//! A client whose requests go through the program's own `oci_client::Client`.

use std::sync::{Arc, OnceLock};

use super::{Client, ClientOptions, Inner};
use crate::error::{Code, Error, Result};
use crate::registry::{OciClient, Transport};

impl Client {
    /// A client that reaches registries through an `oci_client::Client` that the program already holds, with its
    /// connections, tokens, proxies and trust. Our caps and checks stand behind it; layouts are reached as always.
    ///
    /// Its verbs must run on the tokio runtime that the given client's other requests run on. Manifests and error texts
    /// are collected whole by oci-client before their size can be judged; where registries are hostile, prefer
    /// [`Client::new`].
    ///
    /// The journal cannot be written through it: signing reports its signatures as stored unprotected.
    ///
    /// # Errors
    /// [`Code::Argument`] when `options` say how registries are reached: that is the given client's business, and an
    /// option is never ignored.
    ///
    /// ```no_run
    /// use cosign_core::oci_client::{self, client::ClientConfig, secrets::RegistryAuth};
    /// use cosign_core::registry::OciClient;
    /// use cosign_core::{Call, Client, ClientOptions, ImageRef, Policy, PublicKey, VerifyOptions};
    ///
    /// # async fn example(key: PublicKey) -> Result<(), Box<dyn std::error::Error>> {
    /// // `try_from`, not `new`: that one panics where the system has no certificate authorities.
    /// let theirs = oci_client::Client::try_from(ClientConfig::default())?;
    /// let login = RegistryAuth::Basic("ann".into(), "secret".into());
    /// let through = OciClient::new(theirs.clone()).with_auth("ghcr.io", login)?;
    /// let client = Client::with_oci_client(ClientOptions::new(), through)?;
    ///
    /// let image: oci_client::Reference = "ghcr.io/team/app:1.2".parse()?;
    /// let policy = Policy::new().with_key(key);
    /// let options = VerifyOptions::default();
    /// let verified = client.verify(&ImageRef::try_from(&image)?, &policy, &options, &Call::new()).await?;
    /// // From here on the digest, not the tag.
    /// let pinned = image.clone_with_digest(verified.digest().to_string());
    /// # let _ = (pinned, theirs);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_oci_client(options: ClientOptions, client: OciClient) -> Result<Client> {
        let of_transport = &options.transport;
        let set = [
            ("a user agent", !of_transport.user_agent.is_empty()),
            ("certificate authorities", !of_transport.ca_pem.is_empty() || of_transport.replace_system_ca),
            ("a client certificate", of_transport.client_certificate.is_some()),
            ("folders of certificates", !of_transport.certs_dirs.is_empty()),
            ("credentials", !of_transport.auth.is_empty()),
            ("a docker config", !of_transport.docker_configs.is_empty()),
            ("credential helpers", of_transport.credential_helpers),
            ("plain HTTP", !of_transport.http_hosts.is_empty()),
            ("token servers", !of_transport.token_servers.is_empty()),
            ("proxies", !of_transport.proxies.is_empty()),
            ("a pause between attempts", of_transport.retry_base.is_some()),
        ];
        if let Some((what, _)) = set.iter().find(|(_, set)| *set) {
            return Err(Error::new(
                Code::Argument,
                format!("the options give {what}; with an oci_client::Client that is set there"),
            ));
        }
        let transport = OnceLock::from(Arc::new(Transport::through(client)?));
        Ok(Client(Arc::new(Inner { options, transport })))
    }
}
