package wire

// The values of Problem.Code and Failure.Code. They are those of package
// fleet, repeated here for clients, which import nothing else of the daemon.
const (
	CodeInvalid         = "invalid"
	CodeNotFound        = "not_found"
	CodeConflict        = "conflict"
	CodeNotReady        = "not_ready"
	CodeQuota           = "quota"
	CodePolicy          = "policy"
	CodeUnauthenticated = "unauthenticated"
	CodeTooLarge        = "too_large"
	CodeUnavailable     = "unavailable"
	CodeDenied          = "denied"
	CodeProvision       = "provision_failed"
	CodeInternal        = "internal"
)
