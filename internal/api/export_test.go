package api

import "github.com/go-chi/chi/v5"

// Routes are all that the server answers.
func (s *Server) Routes() chi.Routes { return s.router }
