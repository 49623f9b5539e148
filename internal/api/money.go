package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// moneyRoutes are about prices and cost.
func (s *Server) moneyRoutes(api huma.API) {
	get(s, api, member, huma.Operation{
		OperationID: "list-rates", Path: "/v1/rates", Tags: []string{"money"},
		Summary: "List rates", Description: "A size without a rate costs the price of the blueprint.", Errors: errorStatuses(),
	}, func(ctx context.Context, _ *struct{}) (wire.RateList, error) {
		all, err := s.services.Costs.Rates(ctx, caller(ctx))
		return wire.RateList{Rates: each(all, rate)}, err
	})

	act(s, api, platformTo("set rates"), huma.Operation{
		OperationID: "set-rate", Method: http.MethodPut, Path: "/v1/rates/{blueprint}/{size}", Tags: []string{"money"},
		Summary:     "Set the price of a blueprint size from a given time",
		Description: "Environments admitted before keep their price.",
		Errors:      errorStatuses(http.StatusBadRequest, http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		Blueprint string `path:"blueprint" minLength:"1" maxLength:"100" doc:"Name of the blueprint" example:"build"`
		Size      string `path:"size" minLength:"1" maxLength:"100" doc:"Name of the size" example:"small"`
		Body      wire.RateRequest
	}) (wire.Rate, error) {
		r := fleet.Rate{Blueprint: in.Blueprint, Size: in.Size, Micros: in.Body.MicrosPerHour, Currency: in.Body.Currency}
		if in.Body.From != nil {
			r.From = *in.Body.From
		}
		set, err := s.services.Costs.SetRate(ctx, caller(ctx), r)
		return rate(set), err
	})

	get(s, api, member, huma.Operation{
		OperationID: "cost", Path: "/v1/cost", Tags: []string{"money"},
		Summary: "Show costs by group", Description: "Covers the caller's tenant, or every tenant for the platform role. Running environments count up to now.",
		Errors: errorStatuses(),
	}, func(ctx context.Context, in *struct {
		By    string    `query:"by" enum:"user,team,tenant,blueprint,project,pool,day,host,pull-request,environment" default:"user" doc:"Grouping key"`
		Since time.Time `query:"since" doc:"Start of the period" example:"2026-01-01T00:00:00Z"`
		Until time.Time `query:"until" doc:"End of the period" example:"2026-02-01T00:00:00Z"`
	}) (wire.CostReport, error) {
		report, err := s.services.Costs.Report(ctx, caller(ctx), service.CostQuery{By: in.By, Since: in.Since, Until: in.Until})
		return costReport(report), err
	})
}

func rate(r fleet.Rate) wire.Rate {
	return wire.Rate{Blueprint: r.Blueprint, Size: r.Size, From: r.From.UTC(), MicrosPerHour: r.Micros, Currency: r.Currency, SetBy: r.SetBy}
}

func costReport(r service.CostReport) wire.CostReport {
	return wire.CostReport{By: r.By, Since: when(r.Since), Until: when(r.Until), Rows: each(r.Rows, costRow), Total: costRow(r.Total)}
}

func costRow(r service.CostRow) wire.CostRow {
	return wire.CostRow{
		Key: r.Key, Currency: r.Currency, LeasedMicros: r.Leased, PoolMicros: r.Pool, ProvisioningMicros: r.Provisioning,
		FailedMicros: r.Failed, DestroyingMicros: r.Destroying, TotalMicros: r.Total, Seconds: r.Seconds,
	}
}
