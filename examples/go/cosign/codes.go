package cosign

// The codes of [Error.Code].
const (
	// ErrArgument: An argument is missing, empty or out of range.
	ErrArgument = 100
	// ErrEncoding: Text is not UTF-8, base64, hex or JSON where that is required.
	ErrEncoding = 101
	// ErrReference: An image reference or digest cannot be parsed.
	ErrReference = 102
	// ErrUnsupported: This build or version does not do what was asked.
	ErrUnsupported = 103
	// ErrKeyFormat: A key is malformed or in a format that is not accepted.
	ErrKeyFormat = 200
	// ErrKeyAlgorithm: A key's algorithm, curve or size is not accepted.
	ErrKeyAlgorithm = 201
	// ErrPasswordRequired: The key is encrypted and no password was given.
	ErrPasswordRequired = 202
	// ErrPasswordWrong: The password does not open the key, or the key file was changed.
	ErrPasswordWrong = 203
	// ErrNoSignatureMatches: Signatures were read and none satisfies the policy.
	ErrNoSignatureMatches = 300
	// ErrNoSignatures: The place answered and holds no signature.
	ErrNoSignatures = 301
	// ErrSignatureInvalid: A signature does not verify with the key.
	ErrSignatureInvalid = 302
	// ErrPayloadMismatch: The signed payload is malformed or names another image.
	ErrPayloadMismatch = 303
	// ErrAnnotationMismatch: A demanded annotation is missing or different.
	ErrAnnotationMismatch = 304
	// ErrThreshold: Fewer distinct signers than the policy demands.
	ErrThreshold = 305
	// ErrPolicyEmpty: The policy demands nothing, demands the impossible or has an unknown field.
	ErrPolicyEmpty = 306
	// ErrNetwork: The registry could not be reached or answered with a server error.
	ErrNetwork = 400
	// ErrAuth: The registry does not accept the credentials.
	ErrAuth = 401
	// ErrImageNotFound: The image, tag or layout does not exist.
	ErrImageNotFound = 402
	// ErrDenied: The registry denies access.
	ErrDenied = 403
	// ErrTls: The TLS connection could not be made or trusted.
	ErrTls = 404
	// ErrTlsRoots: No trusted certificate authority was found.
	ErrTlsRoots = 405
	// ErrRateLimited: The registry asks to slow down.
	ErrRateLimited = 406
	// ErrProtocol: The registry or layout answered with something that is not allowed.
	ErrProtocol = 407
	// ErrTooLarge: Something is larger, longer or deeper than its limit.
	ErrTooLarge = 408
	// ErrConflict: The registry refused to store it because of what is there already.
	ErrConflict = 409
	// ErrServiceNotFound: A server does not have the service that was asked for.
	ErrServiceNotFound = 410
	// ErrContent: Stored bytes are not what their digest or size says.
	ErrContent = 411
	// ErrCancelled: The caller cancelled.
	ErrCancelled = 500
	// ErrTimeout: The deadline passed.
	ErrTimeout = 501
	// ErrCallback: A callback failed.
	ErrCallback = 502
	// ErrForked: The client was made before fork(); make a new one in the child.
	ErrForked = 503
	// ErrIo: A file could not be read or written.
	ErrIo = 600
	// ErrFileExists: A file is there already and is not overwritten without consent.
	ErrFileExists = 601
	// ErrInternal: A defect in this library; please report it.
	ErrInternal = 900
)
