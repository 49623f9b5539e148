package wire

// AsPlatform is the header by which a caller with the platform role uses what is not theirs: why they do, one line of at most 200
// bytes, which goes on record.
const AsPlatform = "Bothy-As-Platform"
