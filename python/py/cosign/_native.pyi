"""The native module behind `cosign`. Import from `cosign`; this file documents it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, TypeAlias, final

from typing_extensions import Buffer  # typeshed brings it; nothing imports it at run time

from .errors import CosignError

_StrPath: TypeAlias = str | PathLike[str]
_Password: TypeAlias = str | bytes | Callable[[], str | bytes] | None
_Format: TypeAlias = Literal["legacy", "bundle", "both"]
_CleanKind: TypeAlias = Literal["signature", "attestation", "referrer", "sbom", "all"]
_DigestAlgorithm: TypeAlias = Literal["sha256", "sha384", "sha512"]
_Signature: TypeAlias = _StrPath | Buffer
_PayloadForm: TypeAlias = Literal["today", "2021"]
_KeyFormat: TypeAlias = Literal["sigstore", "cosign"]
_Algorithm: TypeAlias = Literal["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]

class _Reader(Protocol):
    def read(self, size: int, /) -> Buffer: ...

__all__ = [
    "Batch",
    "BatchResult",
    "Client",
    "DetachedSignature",
    "Policy",
    "PrivateKey",
    "PublicKey",
    "SignedBlob",
    "SignedImage",
    "Signer",
    "StoredSignature",
    "UnverifiedSignature",
    "VerifiedBlob",
    "VerifiedImage",
    "VerifiedSignature",
    "Verifier",
    "__version__",
    "_registry",
    "_restore_batch_result",
    "_restore_client",
    "_restore_detached",
    "_restore_policy",
    "_restore_public_key",
    "_restore_signature",
    "_restore_signed",
    "_restore_signed_blob",
    "_restore_stored",
    "_restore_unverified",
    "_restore_verified",
    "_restore_verified_blob",
    "error_table",
    "generate_key_pair",
    "resolve",
    "triangulate",
]

__version__: str

@final
class PrivateKey:
    """A decrypted private key: decrypt once, sign many times.

    It can be used from several threads at once. It is a context manager that wipes the key at its end. Its `repr` shows
    the public fingerprint only; it cannot be pickled or copied.

    Example:
        >>> import cosign
        >>> with cosign.PrivateKey.generate() as key:
        ...     key.public_key.verify(b"data", key.sign(b"data"))
    """

    @staticmethod
    def generate(algorithm: _Algorithm = "ecdsa-p256") -> PrivateKey:
        """Makes a new key.

        Args:
            algorithm: P-256 is what cosign makes. RSA keys take longer to make, of 4096 bits up to seconds.

        Raises:
            UnsupportedKey: The algorithm is not known.
        """

    @staticmethod
    def load(source: _StrPath | bytes, *, password: _Password = None) -> PrivateKey:
        """Opens an encrypted key file of cosign, of today or of 2021.

        Args:
            source: The path of the file (`str` or path object), or its content as `bytes`.
            password: Text (as UTF-8), bytes, or a function that is called once if the file is well-formed.

        Raises:
            FileError: The file cannot be read.
            KeyFileError: It is not such a key file; a plain PEM key is for `import_pem`.
            PasswordRequired: There is no password.
            WrongPassword: The password does not open it.
            CallbackError: The function raised an exception (its `__cause__`) or returned something else.
        """

    @staticmethod
    def import_pem(source: _StrPath | bytes) -> PrivateKey:
        """Reads an unencrypted private key in PEM: PKCS#8, SEC1 or PKCS#1; EC, Ed25519, RSA of 2048, 3072 or 4096 bits.

        Raises:
            FileError: The file cannot be read.
            KeyFileError: It is not such a key.
            UnsupportedKey: Its curve or size is not accepted.
        """

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    @property
    def algorithm(self) -> str:
        """`ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `ed25519`, `rsa-2048`, `rsa-3072` or `rsa-4096`."""

    def export(self, *, password: _Password, format: _KeyFormat = "sigstore") -> bytes:
        """The key encrypted, as the content of a key file.

        Args:
            password: May be empty, but not missing.
            format: `sigstore` is today's form; `cosign` is that of 2021, for old readers.
        """

    def save(
        self, path: _StrPath, *, password: _Password, format: _KeyFormat = "sigstore", overwrite: bool = False
    ) -> None:
        """Writes the encrypted key file, readable by its owner only; the file is whole or not there at all.

        Raises:
            FileError: `code` is `FILE_EXISTS` when the file is there and `overwrite` is false, else `IO`.
        """

    def save_pair(
        self, prefix: _StrPath, *, password: _Password, format: _KeyFormat = "sigstore", overwrite: bool = False
    ) -> tuple[str, str]:
        """Writes `PREFIX.key` as `save` does, and `PREFIX.pub`: both or neither. Returns the two paths."""

    def sign(self, data: Buffer) -> bytes:
        """Signs bytes: ECDSA in DER with the hash of the curve, RSA PKCS#1 v1.5 with SHA-256, Ed25519 plain."""

    def close(self) -> None:
        """Forgets the key; signing with it is an error from then on."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def __copy__(self) -> NoReturn: ...
    def __deepcopy__(self, memo: object) -> NoReturn: ...

@final
class PublicKey:
    """A public key. Equal keys compare equal, hash equal, and pickle.

    Example:
        >>> import cosign
        >>> key = cosign.PrivateKey.generate().public_key
        >>> cosign.PublicKey.load(key.pem) == key
        True
    """

    @staticmethod
    def load(source: _StrPath | bytes) -> PublicKey:
        """Reads a public key.

        Args:
            source: A path; PEM as `bytes` or `str`; or a `str` with the key in base64 (SPKI, or a raw Ed25519 key). A
                `str` that names an existing file is a path; a path object is always one.

        Raises:
            FileError: The file cannot be read.
            KeyFileError: It is not a public key.
            UnsupportedKey: Its algorithm, curve or size is not accepted.
        """

    @staticmethod
    def from_der(der: Buffer) -> PublicKey:
        """Reads a `SubjectPublicKeyInfo`."""

    @property
    def algorithm(self) -> str:
        """The algorithm, as `PrivateKey.algorithm`."""

    @property
    def pem(self) -> str:
        """The key as PEM, the content of a `.pub` file."""

    @property
    def der(self) -> bytes:
        """The key as DER (`SubjectPublicKeyInfo`)."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `der`, in lower-case hex."""

    def verify(self, data: Buffer, signature: Buffer) -> None:
        """Checks a signature over bytes; returns nothing, so that it cannot be misread.

        Raises:
            SignatureInvalid: The signature is not by this key over these bytes.
        """

    def save(self, path: _StrPath, *, overwrite: bool = False) -> None:
        """Writes `pem` to a file, whole or not at all."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Policy:
    """What must hold for an image to count as verified.

    Args:
        keys: The accepted keys; at least one.
        annotations: Pairs that every counted signature must carry.
        threshold: How many distinct keys must have signed.
        tlog: Whether each counted signature must have an entry in a transparency log that the policy trusts.
        log_keys: The keys of the logs to trust; none is built in.
        trusted_root: A `trusted_root.json` whose logs are trusted as well: a path, or its content as `bytes`.

    Raises:
        InvalidPolicy: The policy would accept everything, or can accept nothing.

    Example:
        >>> import cosign
        >>> key = cosign.PrivateKey.generate().public_key
        >>> cosign.Policy(keys=[key], annotations={"env": "prod"})
        <Policy 1 of 1 keys, annotations [env]>
    """

    def __new__(
        cls,
        *,
        keys: Iterable[PublicKey],
        annotations: Mapping[str, str] | None = None,
        threshold: int = 1,
        tlog: bool = False,
        log_keys: Iterable[PublicKey] | None = None,
        trusted_root: _StrPath | bytes | None = None,
    ) -> Self: ...
    @staticmethod
    def from_json(text: str) -> Policy:
        """Reads `{"keys": [PEM or base64, ...], "annotations": {...}, "threshold": 1 or "all", "tlog": true,
        "log_keys": [PEM or base64, ...], "trusted_root": {...}}`; an unknown member is an error."""

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The accepted keys, each once."""

    @property
    def annotations(self) -> dict[str, str]:
        """A copy of the demanded annotations."""

    @property
    def threshold(self) -> int:
        """How many distinct keys must have signed."""

    @property
    def tlog(self) -> bool:
        """Whether an entry in a transparency log is demanded."""

    @property
    def log_keys(self) -> tuple[PublicKey, ...]:
        """The keys of the trusted logs."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Client:
    """How registries are reached. Making one connects to nothing and reads no environment variable.

    One client can be used from several threads, and in the child after `fork()`, where it makes its own connections.
    It pickles unless it holds credentials.

    Args:
        timeout: Seconds for each call; `None` leaves only the built-in limits.
        user_agent: What registries are told we are.
        ca: Certificate authorities to trust as well: a path, or PEM as `bytes`.
        system_ca: False trusts `ca` alone.
        client_certificate: What registries that ask for a certificate are shown: the certificate and its unencrypted
            key, each a path or PEM as `bytes`.
        certs_dirs: Folders with certificates for each registry, as docker and podman keep them (`certs.d`).
        auth: For a registry (`host` or `host:port`), a pair of user and password, or a token.
        docker_config: The `config.json` of docker: a path, or its content as `bytes`.
        credential_helpers: Whether the helpers that `docker_config` names may be started; `None` is no here and yes
            in `from_env`.
        token_servers: Pairs of a registry and a host of another domain that its credentials may go to.
        https_proxy: As the environment variable `HTTPS_PROXY`. Loopback hosts are never asked through a proxy. If one
            of the three is given, `from_env` reads none of them.
        http_proxy: As `HTTP_PROXY`.
        no_proxy: As `NO_PROXY`.
        http_registries: Registries that are asked by plain HTTP. Loopback hosts are always allowed.
        rekor_url: The transparency log; `None` is Rekor's public one, or in `from_env` that of `REKOR_SERVER`. Only
            calls that were told to use a log ask it.
        layouts: False refuses `oci:PATH`; for services that take references from strangers.
        on_request: Called with one line for each HTTP exchange when it is over, such as
            `GET https://ghcr.io/v2/a/b/manifests/v1 200`; no credential is in it. Calls come from other threads.
        signature_repository: Where signatures of images in registries are kept instead of the images' own repositories,
            as cosign's `COSIGN_REPOSITORY`; without tag or digest.
    """

    def __new__(
        cls,
        *,
        timeout: float | None = None,
        user_agent: str | None = None,
        ca: _StrPath | bytes | None = None,
        system_ca: bool = True,
        client_certificate: tuple[_StrPath | bytes, _StrPath | bytes] | None = None,
        certs_dirs: Sequence[_StrPath] | None = None,
        auth: Mapping[str, tuple[str, str] | str] | None = None,
        docker_config: _StrPath | bytes | None = None,
        credential_helpers: bool | None = None,
        token_servers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        https_proxy: str | None = None,
        http_proxy: str | None = None,
        no_proxy: str | None = None,
        http_registries: Sequence[str] | None = None,
        rekor_url: str | None = None,
        layouts: bool = True,
        on_request: Callable[[str], object] | None = None,
        signature_repository: str | None = None,
    ) -> Self: ...
    @staticmethod
    def from_env(
        *,
        timeout: float | None = None,
        user_agent: str | None = None,
        ca: _StrPath | bytes | None = None,
        system_ca: bool = True,
        client_certificate: tuple[_StrPath | bytes, _StrPath | bytes] | None = None,
        certs_dirs: Sequence[_StrPath] | None = None,
        auth: Mapping[str, tuple[str, str] | str] | None = None,
        docker_config: _StrPath | bytes | None = None,
        credential_helpers: bool | None = None,
        token_servers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        https_proxy: str | None = None,
        http_proxy: str | None = None,
        no_proxy: str | None = None,
        http_registries: Sequence[str] | None = None,
        rekor_url: str | None = None,
        layouts: bool = True,
        on_request: Callable[[str], object] | None = None,
        signature_repository: str | None = None,
    ) -> Client:
        """A client set up as command line tools are: credentials from the files and helpers of docker and podman
        (`DOCKER_CONFIG`, `REGISTRY_AUTH_FILE`, ...), certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`, `certs.d`),
        proxies (`HTTPS_PROXY`, ...) and the signatures' repository (`COSIGN_REPOSITORY`). What is given here comes on
        top."""

    def resolve(self, image: str, *, timeout: float | None = None) -> str:
        """The image pinned by its digest: `registry/repository@sha256:...` or `oci:PATH@sha256:...`.

        Raises:
            InvalidReference: `image` cannot be parsed.
            ImageNotFound: There is no such image.
            RegistryError: The registry could not be asked.
        """

    def triangulate(self, image: str, *, suffix: str = ".sig", timeout: float | None = None) -> str:
        """Where the signatures of the image are stored; says nothing about whether there are any."""

    def generate(
        self,
        image: str,
        *,
        annotations: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        identity: str | None = None,
        payload_form: _PayloadForm = "today",
        timeout: float | None = None,
    ) -> bytes:
        """The payload that `Signer.sign_image` signs: another program may sign it, for `attach_signature`.

        Args:
            image: By tag or digest; a registry is asked only to resolve a tag.
            annotations: Pairs to sign along.
            identity: What the payload names the image instead of its own name.
            payload_form: `2021` is the spelling of March 2021.
            timeout: Seconds for the whole call; `None` uses the client's.

        Raises:
            ImageNotFound: There is no such image.
            RegistryError: The registry could not be asked.
        """

    def attach_signature(
        self,
        image: str,
        signature: bytes,
        *,
        payload: bytes | None = None,
        annotations: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        identity: str | None = None,
        payload_form: _PayloadForm = "today",
        journal: bool = True,
        docker_media_types: bool = False,
        layout_tag: str | None = None,
        tag_suffix: str | None = None,
        timeout: float | None = None,
    ) -> SignedImage:
        """Stores a signature that was made elsewhere beside those that are there, as `Signer.sign_image` does its own.
        It is not verified: there is no key to do it with.

        Args:
            image: By tag or digest; a tag is resolved once.
            signature: The raw signature, not base64.
            payload: What it signs, in any format and kept to the byte; `None` is what `generate` gives for the same
                annotations, identity and form.
            annotations: As for `generate`.
            identity: As for `generate`.
            payload_form: As for `generate`.
            journal: As for `Signer.sign_image`, like all that follows.
            docker_media_types: Writes a new signature image with Docker's media types.
            layout_tag: In a layout, names the image's entry in the same write.
            tag_suffix: Instead of `.sig`.
            timeout: Seconds for the whole call; `None` uses the client's.

        Raises:
            ArgumentError: The signature or the payload is empty.
            ImageNotFound: There is no such image.
            RegistryError: It could not be read or the signature could not be stored, or is too large.
        """

    def download(
        self,
        image: str,
        *,
        format: _Format | None = None,
        tag_suffix: str | None = None,
        timeout: float | None = None,
    ) -> list[UnverifiedSignature]:
        """The signatures that are stored for the image, as they are; none of them is verified. Bundles come first.

        Args:
            image: By tag or digest.
            format: The only format that is looked for; `None` is both.
            tag_suffix: Instead of `.sig`.
            timeout: Seconds for the whole call; `None` uses the client's.

        Raises:
            NoSignatures: The image was looked at and has none.
            ImageNotFound: There is no such image.
            RegistryError: Something could not be read: the list would not be complete.
        """

    def tree(self, image: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Everything that hangs on the image: signatures, attestations, SBOMs, whatever else refers to it, and the
        journal. Nothing is verified. `docs/commands.md` has its shape; when `complete` is false, `unread` says what
        could not be read, and what is missing is unknown."""

    def doctor(self, image: str, *, timeout: float | None = None) -> dict[str, Any]:
        """For each signature of the image which tools can read it, and what to do about those that cannot. Nothing is
        verified. `docs/commands.md` has its shape; `complete` and `unread` are as in `tree`."""

    def clean(self, image: str, *, kind: _CleanKind = "all", timeout: float | None = None) -> dict[str, Any]:
        """Removes what hangs on the image, the journal first, so that nobody who signs later brings it back. Asks no
        question.

        Args:
            image: By tag or digest.
            kind: `referrer` are the bundles of both kinds.
            timeout: Seconds for the whole call; `None` uses the client's.

        Returns:
            `digest`, `reference`, `removed` (a list with `place`, `by_digest`, `note`) and `kept` (with `place`,
            `reason`): what others name, too, stays.

        Raises:
            ImageNotFound: There is no such image.
            UnsupportedError: The registry deletes nothing.
            RegistryError: Not everything was heard, so nothing is known to be clean; `details["removed"]` says what
                went.
        """

    def gc(
        self, image: str, *, repair: bool = False, whole_repository: bool = False, timeout: float | None = None
    ) -> dict[str, Any]:
        """Removes journal entries that are older than a day and in their standard place, or whose image is gone.

        Args:
            image: By tag or digest.
            repair: First merges what the standard places have lost, whatever its age.
            whole_repository: The journals of all images in the repository.
            timeout: Seconds for the whole call; `None` uses the client's.

        Returns:
            `removed` and `kept` as of `clean`, `repaired` (with `place`, `status`, `reason`), `lost`: how many entries
            a repair would merge, and `images`.
        """

    def copy(
        self,
        source: str,
        destination: str,
        *,
        only: Sequence[Literal["sig", "att", "sbom"]] | None = None,
        force: bool = False,
        platform: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Copies an image with all that hangs on it between registries and layouts; signatures are merged into those
        that the destination has.

        Args:
            source: By tag or digest.
            destination: A folder that is not there becomes a layout.
            only: Copies only these, without the image.
            force: Lets the destination's name be taken from another image.
            platform: `os/architecture[/variant]`: of an index only that image.
            timeout: Seconds for the whole call; `None` uses the client's.

        Returns:
            `digest`, `source`, `destination`, `manifests`, `blobs_sent`, `blobs_there`, `added`, `status` and `reason`
            (of the least protected of what was added), `left` (with `place`, `reason`).

        Raises:
            ImageNotFound: There is no such image.
            FileError: The destination names another image (`FILE_EXISTS`).
            RegistryError: One of the places could not be read or written; what was copied is not sent again next time.
        """

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Signer:
    """A private key and the way to the registries.

    Args:
        key: The key that signs.
        client: `None` is `Client()`.
    """

    def __new__(cls, key: PrivateKey, client: Client | None = None) -> Self: ...
    @property
    def key(self) -> PrivateKey:
        """The key that signs."""

    def sign_image(
        self,
        image: str,
        *,
        format: _Format = "legacy",
        journal: bool = True,
        annotations: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        identity: str | None = None,
        docker_media_types: bool = False,
        layout_tag: str | None = None,
        tag_suffix: str | None = None,
        recursive: bool = False,
        tlog: Literal["never", "public", "always"] = "never",
        payload: bytes | None = None,
        payload_form: _PayloadForm = "today",
        timeout: float | None = None,
    ) -> SignedImage:
        """Signs an image and stores the signature beside it, in addition to those that are there. Others may sign it at
        the same time; `SignedImage.status` says how well the signature is stored.

        Args:
            image: By tag or digest; a tag is resolved once.
            format: `legacy` is what cosign 1 to 3, skopeo and podman read, `bundle` what cosign 3 writes.
            journal: False takes fewer requests, and others who sign at the same time can make the signature lost.
            annotations: Pairs to sign along.
            identity: What the payload names the image instead of its own name.
            docker_media_types: Writes a new signature image with Docker's media types.
            layout_tag: In a layout, names the image's entry in the same write.
            tag_suffix: Instead of `.sig`.
            recursive: For an index: signs everything that it leads to as well, each image for itself.
            tlog: `public` adds the signature to the transparency log of the client if everybody may read the image,
                `always` in any case; `SignedImage.tlog` says what came of it.
            payload: The exact bytes to sign instead of a payload of our own, in any format; legacy only.
            payload_form: `2021` is the spelling of March 2021; legacy only.
            timeout: Seconds for the whole call; `None` uses the client's.

        Raises:
            ImageNotFound: There is no such image.
            RegistryError: It could not be read or the signature could not be stored. With `format="both"` or
                `recursive` others may be: the message says which failed, `details["signatures"]` what became of each.
        """

    def sign_blob(
        self,
        data: _StrPath | Buffer | _Reader,
        *,
        digest_algorithm: _DigestAlgorithm | None = None,
        timeout: float | None = None,
    ) -> SignedBlob:
        """Signs a file or any other bytes. Needs no network. They are read once and not held, but for Ed25519 keys.

        Args:
            data: The path of a file (`str` or path object), the bytes themselves, or a binary file object. `bytes` and
                files are read as they are, other buffers are copied first.
            digest_algorithm: The hash to sign, if not the one of the key's kind: `sha256` with P-384 and P-521, which
                cosign verifies without more.
            timeout: Seconds; looked at between two pieces.

        Raises:
            FileError: The file cannot be read to its end.
            UnsupportedError: An Ed25519 key and more than 64 MiB, or a hash that the key does not sign with.
            CallbackError: `read` raised an exception (its `__cause__`).

        Example:
            >>> import cosign
            >>> with cosign.PrivateKey.generate() as key:
            ...     signed = cosign.Signer(key).sign_blob(b"data")
            ...     verifier = cosign.Verifier(cosign.Policy(keys=[key.public_key]))
            >>> verifier.verify_blob(b"data", bundle=signed.bundle).signers == (signed.key_fingerprint,)
            True
        """

    def sign_detached(
        self,
        image: str,
        *,
        payload: bytes | None = None,
        annotations: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        identity: str | None = None,
        payload_form: _PayloadForm = "today",
        timeout: float | None = None,
    ) -> DetachedSignature:
        """Signs what `sign_image` would sign, and stores nothing. No server is touched when `image` is a digest or a
        payload is given.

        Args:
            image: By tag or digest.
            payload: As for `sign_image`, like all that follows.
            annotations: Pairs to sign along.
            identity: What the payload names the image instead of its own name.
            payload_form: `2021` is the spelling of March 2021.
            timeout: Seconds for the whole call; `None` uses the client's.

        Raises:
            ImageNotFound: There is no such image.
            RegistryError: The registry could not be asked.
        """

    def __reduce__(self) -> NoReturn: ...

@final
class StoredSignature:
    """One signature and how it is stored. Frozen, comparable, and it pickles."""

    @property
    def reference(self) -> str:
        """The image that it is of, pinned: the one that was named, or one that its index leads to."""

    @property
    def format(self) -> str:
        """`legacy` or `bundle`."""

    @property
    def place(self) -> str:
        """Where it is: `registry/repository:sha256-....sig`, or the pinned manifest of a bundle."""

    @property
    def added(self) -> bool:
        """False when this key had signed the same before: nothing was written."""

    @property
    def status(self) -> str:
        """`stored`: every tool finds it, and nobody who signs at the same time can make it unseen.
        `stored_unprotected`: every tool finds it now, but somebody who signs at the same time may have overwritten it.
        `journal_only`: this library finds it, other tools do not. Expect unknown words."""

    @property
    def reason(self) -> str | None:
        """Why `status` is not `stored`."""

    @property
    def log(self) -> dict[str, Any] | None:
        """Its entry in the transparency log, if it got one: `url`, `uuid`, `created` (false when the log had it
        already), `index`, `log_id`, `integrated_time`, `proof`."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class DetachedSignature:
    """A signature that was made and not stored. Frozen, comparable, hashable, and it pickles."""

    @property
    def payload(self) -> bytes:
        """The exact bytes that were signed."""

    @property
    def signature(self) -> bytes:
        """The raw signature."""

    @property
    def base64(self) -> str:
        """The signature as cosign prints it."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class UnverifiedSignature:
    """A signature as it is stored: what somebody says, not what is true. Frozen, comparable, hashable, picklable."""

    @property
    def format(self) -> str:
        """`legacy` or `bundle`."""

    @property
    def place(self) -> str:
        """Where it is."""

    @property
    def payload(self) -> bytes | None:
        """The signed bytes of a legacy signature, not verified; a bundle holds its own."""

    def to_json(self) -> str:
        """The line that `cosign download signature` prints."""

    def to_json_2021(self) -> str | None:
        """The line that `cosign download` printed in 2021; a bundle has none."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class SignedImage:
    """An image that is signed, and how its signatures are stored. Frozen, comparable, and it pickles."""

    @property
    def image(self) -> str:
        """The reference that was given."""

    @property
    def digest(self) -> str:
        """The digest that was signed."""

    @property
    def reference(self) -> str:
        """The image pinned by that digest."""

    @property
    def signature_reference(self) -> str:
        """Where the first signature is stored."""

    @property
    def signatures(self) -> tuple[StoredSignature, ...]:
        """The signatures: one for each format; signed recursively, for each image, the index's first."""

    @property
    def status(self) -> str:
        """The status of the least protected signature; see `StoredSignature.status`."""

    @property
    def reason(self) -> str | None:
        """Why `status` is not `stored`."""

    @property
    def added(self) -> bool:
        """False when this key had signed the same before: nothing was written."""

    @property
    def layout_needs_name(self) -> bool:
        """In a layout: the image's entry has no name, which some tools need beside a signature."""

    @property
    def tlog(self) -> str:
        """Whether the signatures went to the transparency log: `not_asked`, `uploaded`, `forced_private` (although the
        image is private) or `skipped_private`."""

    def to_json(self) -> str:
        """All of it as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as a fresh `dict`."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Verifier:
    """A policy and the way to the registries. It pickles if its client does.

    Args:
        policy: What must hold.
        client: `None` is `Client()`.
    """

    def __new__(cls, policy: Policy, client: Client | None = None) -> Self: ...
    @property
    def policy(self) -> Policy:
        """What must hold."""

    def verify(
        self,
        image: str,
        *,
        format: _Format | None = None,
        journal: bool = True,
        timeout: float | None = None,
        tag_suffix: str | None = None,
        insecure_ignore_claims: bool = False,
        any_payload_type: bool = False,
        any_predicate_type: bool = False,
        signature_reference: str | None = None,
        offline: bool = False,
    ) -> VerifiedImage:
        """Verifies that the image is signed as the policy demands.

        The tag is resolved once; the result names the digest that was checked.

        Args:
            image: By tag or digest.
            format: The only format that counts; `None` and `both` look for both at the same time.
            journal: False never reads the journal, where signatures wait that a concurrent signer has overwritten.
            timeout: Seconds for the whole call; `None` uses the client's.
            tag_suffix: Instead of `.sig`.
            insecure_ignore_claims: Accepts signatures over payloads that name another image.
            any_payload_type: Accepts payloads of any `critical.type`.
            any_predicate_type: Counts attestations by an accepted key as signatures too, as cosign 3.1 does.
            signature_reference: The signature image itself, in a registry or a layout: read instead of looking for
                signatures of the image. It is of the legacy format.
            offline: Asks no transparency log: an entry that the policy demands must stand beside the signature.

        Raises:
            NoSignatures: The place answered and holds no signature (exit code 10).
            VerificationError: Signatures were read and do not satisfy the policy (12); see `report`.
            ImageNotFound: There is no such image (11).
            RegistryError: The signatures could not be read (20 to 22). This is not a verdict.
        """

    def verify_images(
        self,
        images: Iterable[str],
        *,
        at_once: int | None = None,
        per_host: int | None = None,
        image_timeout: float | None = None,
        format: _Format | None = None,
        journal: bool = True,
        timeout: float | None = None,
        tag_suffix: str | None = None,
        insecure_ignore_claims: bool = False,
        any_payload_type: bool = False,
        any_predicate_type: bool = False,
        offline: bool = False,
        signature_reference: str | None = None,
    ) -> Batch:
        """Verifies many images over shared connections, and yields each result as soon as it is known.

        A result is what `verify` would have returned or raised for that image; one image's trouble is its own, that it
        cannot be parsed included. Tags that are given many times are resolved once, an image that is being verified
        already is not verified twice, and a repository's token is fetched once.

        Args:
            images: By tag or digest; taken one by one, at most eight times `at_once` ahead of the results, so it may be
                a generator that never ends.
            at_once: Images verified at once, on all hosts together; `None` is 256.
            per_host: Images verified at once on one registry host; `None` is 100.
            image_timeout: Seconds for each image, from its first request; `None` uses the client's.
            timeout: Seconds for the whole batch; `None` is no limit. When they are over the images in hand, and the
                others of a `list` or anything else with a length, end with `RegistryTimeout`.

        The other arguments are those of `verify`.

        Raises:
            InvalidPolicy: The policy demands nothing.
            ArgumentError: A limit is zero or negative.
        """

    def verify_blob(
        self,
        data: _StrPath | Buffer | _Reader,
        *,
        signature: _Signature | Sequence[_Signature] | None = None,
        bundle: _Signature | Sequence[_Signature] | None = None,
        digest_algorithm: _DigestAlgorithm | None = None,
        name: str | None = None,
        timeout: float | None = None,
    ) -> VerifiedBlob:
        """Verifies that a file or any other bytes are signed as the policy demands. Needs no network. They are read
        once and not held.

        Args:
            data: The path of a file (`str` or path object), the bytes themselves, or a binary file object.
            signature: A signature by itself, raw or in base64: a path or its content. Several in a list count together
                for the policy's threshold, with those in `bundle`.
            bundle: A sigstore bundle, or the JSON that cosign wrote before: a path or its content. A key in it is never
                trusted.
            digest_algorithm: The only hash that signatures may be over. By default each that the key's kind signs with,
                or the one that a bundle names.
            name: What the report and errors call it; by default the path.
            timeout: Seconds; looked at between two pieces.

        Raises:
            VerificationError: The signatures do not satisfy the policy; see `report`.
            FileError: A file cannot be read to its end. This is not a verdict.
            InvalidPolicy: The policy demands nothing.
            ArgumentError: No signature was given, or the policy demands annotations, which blobs have not.
            CallbackError: `read` raised an exception (its `__cause__`).
        """

    def verify_blob_digest(
        self,
        digest: str,
        *,
        signature: _Signature | Sequence[_Signature] | None = None,
        bundle: _Signature | Sequence[_Signature] | None = None,
        digest_algorithm: _DigestAlgorithm | None = None,
        name: str | None = None,
    ) -> VerifiedBlob:
        """`verify_blob` of which only a hash is known, such as `sha256:<hex>`. Not for Ed25519, which signs no hash."""

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Batch:
    """The results of `Verifier.verify_images`, in the order in which they become known.

    Several threads may take results from one batch. What `images` raises is raised by the batch, which then ends.
    Closing it, leaving its `with` block, or dropping it stops what is under way.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> BatchResult: ...
    def close(self) -> None:
        """Stops what is under way; there are no more results."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class BatchResult:
    """What became of one image of a batch: `verified` or `error`, and the other is `None`. Frozen, and it pickles.

    It is neither true nor false: `bool(result)` raises `TypeError`, so that no `if` accepts what was refused.
    """

    @property
    def index(self) -> int:
        """Its number among the images, from 0."""

    @property
    def image(self) -> str:
        """The reference that was given. Use `verified.reference` from now on."""

    @property
    def verified(self) -> VerifiedImage | None:
        """The proof; `None` if there is none."""

    @property
    def error(self) -> CosignError | None:
        """What `Verifier.verify` would have raised; `None` for an image that is verified."""

    def __bool__(self) -> NoReturn: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class SignedBlob:
    """A signature of a blob, in every form in which it is written. Frozen, and it pickles."""

    @property
    def signature(self) -> bytes:
        """The raw signature."""

    @property
    def base64(self) -> str:
        """The signature in base64: what `cosign sign-blob` prints."""

    @property
    def bundle(self) -> bytes:
        """The sigstore bundle, as cosign 3 writes it."""

    @property
    def old_bundle(self) -> bytes:
        """The JSON of `sign-blob --bundle` before there were bundles (`base64Signature`)."""

    @property
    def digest(self) -> str:
        """The hash of what was signed, such as `sha256:<hex>`."""

    @property
    def key_fingerprint(self) -> str:
        """`PublicKey.fingerprint` of the key that signed."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class VerifiedBlob:
    """A blob whose signatures satisfy the policy. Only `Verifier.verify_blob` and `verify_blob_digest` make one.
    Frozen, and it pickles."""

    @property
    def name(self) -> str:
        """What it was called; empty for bytes without a name."""

    @property
    def digest(self) -> str:
        """The hash of what was read, such as `sha256:<hex>`; a file can change afterwards."""

    @property
    def signers(self) -> tuple[str, ...]:
        """`PublicKey.fingerprint` of each distinct key that signed acceptably."""

    @property
    def report(self) -> dict[str, Any]:
        """Every signature that was looked at, with each check."""

    def to_json(self) -> str:
        """All of it as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as a fresh `dict`."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class VerifiedImage:
    """An image whose signatures satisfy the policy. Only a `Verifier` makes one. Frozen, and it pickles."""

    @property
    def image(self) -> str:
        """The reference that was given. Use `reference` from now on."""

    @property
    def digest(self) -> str:
        """The digest that was verified."""

    @property
    def reference(self) -> str:
        """The image pinned by that digest."""

    @property
    def signatures(self) -> tuple[VerifiedSignature, ...]:
        """The signatures that satisfy the policy."""

    @property
    def report(self) -> dict[str, Any]:
        """Every signature that was looked at, with each check."""

    def to_json(self) -> str:
        """All of it as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as a fresh `dict`."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class VerifiedSignature:
    """One signature that satisfies the policy."""

    @property
    def format(self) -> str:
        """`legacy` or `bundle`."""

    @property
    def payload(self) -> bytes:
        """What was signed, byte for byte: the simple-signing payload, or the in-toto statement of a bundle."""

    @property
    def key_fingerprint(self) -> str:
        """`PublicKey.fingerprint` of the key that signed."""

    @property
    def annotations(self) -> dict[str, Any]:
        """The annotations that were signed along, as a fresh `dict`."""

    @property
    def log(self) -> dict[str, Any] | None:
        """What a trusted transparency log proves about it: `index`, `log_id`, `integrated_time` (seconds, `None` when
        nothing vouches for it), `included` (whether that was proven, not only promised). `None` when none was
        judged."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def generate_key_pair(
    prefix: _StrPath | None = None,
    *,
    password: _Password,
    algorithm: _Algorithm = "ecdsa-p256",
    format: _KeyFormat = "sigstore",
    overwrite: bool = False,
) -> PrivateKey:
    """Makes a key and writes `PREFIX.key` (encrypted) and `PREFIX.pub`: both or neither.

    Args:
        prefix: `None` is `cosign`, in the current folder.
        password: Encrypts the private key; may be empty, but not missing.
        algorithm: As for `PrivateKey.generate`.
        format: As for `PrivateKey.export`.
        overwrite: Whether existing files may be replaced.

    Raises:
        FileError: `code` is `FILE_EXISTS` or `IO`.
    """

def resolve(image: str, *, client: Client | None = None, timeout: float | None = None) -> str:
    """`Client.resolve`."""

def triangulate(image: str, *, suffix: str = ".sig", client: Client | None = None, timeout: float | None = None) -> str:
    """`Client.triangulate`."""

def error_table() -> list[tuple[str, int, str, int, str, bool, str]]:
    """The error table of the core: (name, number, class, exit code, exception, retryable, summary)."""

def _registry(text: str) -> str | None: ...
def _restore_batch_result(
    index: int, image: str, verified: VerifiedImage | None, error: CosignError | None
) -> BatchResult: ...
def _restore_client(
    from_env: bool,
    timeout: float | None,
    user_agent: str | None,
    ca: bytes | None,
    http_registries: list[str],
    layouts: bool,
    signature_repository: str | None,
    reach: tuple[Any, ...],
) -> Client: ...
def _restore_detached(payload: bytes, signature: bytes) -> DetachedSignature: ...
def _restore_policy(
    keys: Iterable[PublicKey],
    annotations: Mapping[str, str],
    threshold: int,
    tlog: bool,
    logs: Sequence[tuple[bytes, bytes, int, int | None]],
) -> Policy: ...
def _restore_public_key(der: bytes) -> PublicKey: ...
def _restore_signature(
    format: str, payload: bytes, key_fingerprint: str, annotations: str, log: str | None
) -> VerifiedSignature: ...
def _restore_signed(
    image: str,
    digest: str,
    reference: str,
    signature_reference: str,
    added: bool,
    status: str,
    reason: str | None,
    signatures: tuple[StoredSignature, ...],
    layout_needs_name: bool,
    tlog: str,
    json: str,
) -> SignedImage: ...
def _restore_signed_blob(
    signature: bytes, digest: str, key_fingerprint: str, bundle: bytes, old_bundle: bytes
) -> SignedBlob: ...
def _restore_stored(
    reference: str, format: str, place: str, added: bool, status: str, reason: str | None, log: str | None
) -> StoredSignature: ...
def _restore_unverified(
    format: str, place: str, payload: bytes | None, json: str, json_2021: str | None
) -> UnverifiedSignature: ...
def _restore_verified(
    image: str,
    digest: str,
    reference: str,
    signatures: tuple[VerifiedSignature, ...],
    report: str,
    json: str,
) -> VerifiedImage: ...
def _restore_verified_blob(name: str, digest: str, signers: Sequence[str], report: str, json: str) -> VerifiedBlob: ...
