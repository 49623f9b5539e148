package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// receiptRoutes are about the proof that what was made is gone.
func (s *Server) receiptRoutes(api huma.API) {
	get(s, api, toSee, huma.Operation{
		OperationID: "get-receipt", Path: "/v1/environments/{env}/receipt", Tags: []string{"money"},
		Summary: "Get the receipt of a deleted environment", Errors: errorStatuses(http.StatusNotFound, http.StatusConflict),
	}, func(ctx context.Context, in *struct{ EnvPath }) (wire.Receipt, error) {
		r, err := s.services.Records.Receipt(ctx, caller(ctx), in.Env)
		return receipt(r), err
	})

	get(s, api, platformTo("read all receipts"), huma.Operation{
		OperationID: "list-receipts", Path: "/v1/receipts", Tags: []string{"money"},
		Summary:     "List all receipts in the order of their chain",
		Description: "The page after the last receipt is empty.", Errors: errorStatuses(),
	}, func(ctx context.Context, in *struct {
		After int64 `query:"after" minimum:"0" doc:"Skip receipts up to this number"`
		Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}) (wire.ReceiptList, error) {
		all, err := s.services.Records.Receipts(ctx, caller(ctx), in.After, in.Limit)
		return wire.ReceiptList{Receipts: each(all, receipt)}, err
	})

	get(s, api, member, huma.Operation{
		OperationID: "get-receipt-key", Path: "/v1/receipts/key", Tags: []string{"money"},
		Summary: "Get the public key that verifies receipts", Errors: errorStatuses(),
	}, func(context.Context, *struct{}) (wire.ReceiptKey, error) {
		return wire.ReceiptKey{Algorithm: "ed25519", Key: s.services.Records.ReceiptKey()}, nil
	})
}

func receipt(r fleet.Receipt) wire.Receipt {
	return wire.Receipt{
		Seq: r.Seq, Environment: r.EnvironmentID, At: r.At.UTC(), Body: r.Body,
		PrevHash: r.PrevHash, Hash: r.Hash, Signature: r.Signature,
	}
}

// orphanRoutes are about what exists and is unknown to the store.
func (s *Server) orphanRoutes(api huma.API) {
	get(s, api, platformTo("see orphans"), huma.Operation{
		OperationID: "list-orphans", Path: "/v1/orphans", Tags: []string{"platform"},
		Summary: "List orphans and doubted environments", Errors: errorStatuses(),
	}, func(ctx context.Context, _ *struct{}) (wire.OrphanReport, error) {
		r, err := s.services.Orphans.List(ctx, caller(ctx))
		return orphanReport(r), err
	})
	s.orphanDecision(api, "adopt", "Keep orphans and doubted environments, leased to their recorded owners", Orphans.Adopt)
	s.orphanDecision(api, "purge", "Delete orphans and doubted environments", Orphans.Purge)
}

// orphanDecision registers a route that decides on some or all orphans. To the use case no ids mean all; here that must be explicit.
func (s *Server) orphanDecision(api huma.API, verb, summary string, decide func(Orphans, context.Context, fleet.Identity, []string) (service.OrphanReport, error)) {
	act(s, api, platformTo(verb+" orphans"), huma.Operation{
		OperationID: verb + "-orphans", Method: http.MethodPost, Path: "/v1/orphans/" + verb, Tags: []string{"platform"},
		Summary: summary, Description: "Returns the undecided ones.",
		Errors: errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict),
	}, func(ctx context.Context, in *struct{ Body wire.OrphanRequest }) (wire.OrphanReport, error) {
		if ids := in.Body.Environments; in.Body.All == (len(ids) > 0) {
			return wire.OrphanReport{}, fleet.Errorf(fleet.CodeInvalid, "cannot %s orphans: want environment ids or all", verb).
				WithHint("bothy orphans ls")
		}
		r, err := decide(s.services.Orphans, ctx, caller(ctx), in.Body.Environments)
		return orphanReport(r), err
	})
}

func orphanReport(r service.OrphanReport) wire.OrphanReport {
	return wire.OrphanReport{Safe: r.Safe, Reason: r.Reason, Orphans: each(r.Orphans, func(o fleet.Orphan) wire.Orphan {
		return wire.Orphan{
			Host: o.Host, Kind: o.Kind, ID: o.ID, Name: o.Name, Environment: o.EnvironmentID, Labels: o.Labels,
			CreatedAt: when(o.CreatedAt), FirstSeen: o.FirstSeen.UTC(), LastSeen: o.LastSeen.UTC(), Sightings: o.Sightings,
		}
	}), Doubted: each(r.Doubted, func(d service.Doubt) wire.Doubt {
		env := d.Env
		return wire.Doubt{
			Environment: env.ID, Name: env.Name, Tenant: env.Tenant, Owner: env.Owner, Pool: env.Pool, Host: env.Host,
			State: string(env.State), LeaseEnd: when(env.Lease.End), Known: d.Known,
		}
	})}
}
