"""libcosign: sign and verify container images as cosign does.

    import cosign

    with cosign.PrivateKey.load("cosign.key", password=...) as key:
        cosign.Signer(key).sign_image("oci:image")
    policy = cosign.Policy(keys=[cosign.PublicKey.load("cosign.pub")])
    print(cosign.Verifier(policy).verify("oci:image").reference)

Images are named as `registry/repository:tag`, `registry/repository@sha256:...`, or `oci:PATH[:TAG][@sha256:...]` for an
OCI image layout on disk. A tag is resolved once; results carry the digest that was checked. `verify` raises unless the
policy is satisfied. The library reads no environment variable; `Client.from_env()` and the `cosign` command do.
"""

from ._native import (
    Client,
    Policy,
    PrivateKey,
    PublicKey,
    SignedBlob,
    SignedImage,
    Signer,
    StoredSignature,
    VerifiedBlob,
    VerifiedImage,
    VerifiedSignature,
    Verifier,
    __version__,
    generate_key_pair,
    resolve,
    triangulate,
)
from .errors import (
    ArgumentError,
    AuthenticationError,
    CallbackError,
    Cancelled,
    ClaimMismatch,
    ConfigError,
    CosignError,
    FileError,
    ForkedError,
    ImageNotFound,
    InternalError,
    InvalidPolicy,
    InvalidReference,
    KeyFileError,
    NoMatchingSignatures,
    NoSignatures,
    PasswordRequired,
    RateLimited,
    RegistryError,
    RegistryTimeout,
    RegistryUnavailable,
    SignatureInvalid,
    ThresholdNotMet,
    UnsupportedError,
    UnsupportedKey,
    VerificationError,
    WrongPassword,
)

__all__ = [
    "ArgumentError",
    "AuthenticationError",
    "CallbackError",
    "Cancelled",
    "ClaimMismatch",
    "Client",
    "ConfigError",
    "CosignError",
    "FileError",
    "ForkedError",
    "ImageNotFound",
    "InternalError",
    "InvalidPolicy",
    "InvalidReference",
    "KeyFileError",
    "NoMatchingSignatures",
    "NoSignatures",
    "PasswordRequired",
    "Policy",
    "PrivateKey",
    "PublicKey",
    "RateLimited",
    "RegistryError",
    "RegistryTimeout",
    "RegistryUnavailable",
    "SignatureInvalid",
    "SignedBlob",
    "SignedImage",
    "Signer",
    "StoredSignature",
    "ThresholdNotMet",
    "UnsupportedError",
    "UnsupportedKey",
    "VerificationError",
    "VerifiedBlob",
    "VerifiedImage",
    "VerifiedSignature",
    "Verifier",
    "WrongPassword",
    "__version__",
    "generate_key_pair",
    "resolve",
    "triangulate",
]
