package wire

// ByID in front of an environment's id says that it is an id and no name, wherever a name or an id is accepted. Clients
// that have an id send it so.
const ByID = "id:"
