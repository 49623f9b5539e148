package api

import "github.com/go-chi/chi/v5"

// CodeOfStatus is the way back from a status to a code.
var CodeOfStatus = codeOfStatus

// Routes are all that the server answers.
func (s *Server) Routes() chi.Routes { return s.router }
