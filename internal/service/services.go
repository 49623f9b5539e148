package service

import (
	"crypto/ed25519"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Rooms are the rooms and settings behind the use cases. Each use case declares what it needs of them.
type Rooms struct {
	Base
	Blueprints Blueprints
	Hosts      interface {
		Home
		Reach
		Neighbours
	}
	Leases   Leases
	SafeMode interface {
		SafeMode
		Given
	}
	Meter interface {
		Noter
		Meter
	}
	Memory interface {
		Starved
		Memory
	}
	Work         Work
	Liveness     Liveness
	Usages       Usages
	Certificates Variables
	Doubts       Doubts
	Sweeper      Sweeper

	// Variables, Weights and ReceiptKey are those of SandboxesConfig, QuotasConfig and RecordsConfig.
	Variables  []string
	Weights    func() []fleet.Weight
	ReceiptKey ed25519.PublicKey
}

// Services are the use cases. They share one Access.
type Services struct {
	*Environments
	*Sandboxes
	*Records
	Quotas  *Quotas
	Costs   *Costs
	Orphans *Orphans
	Hosts   *Hosts
}

// New makes the use cases.
func New(r Rooms) *Services {
	b := r.Base
	b.Access = NewAccess(b.Store, b.Journal)
	return &Services{
		Environments: NewEnvironments(EnvironmentsConfig{
			Base: b, Hosts: r.Hosts, Leases: r.Leases, Safety: r.SafeMode, Meter: r.Meter, Memory: r.Memory, Work: r.Work, Blueprints: r.Blueprints,
		}),
		Sandboxes: NewSandboxes(SandboxesConfig{
			Base: b, Hosts: r.Hosts, Meter: r.Meter, Memory: r.Memory, Liveness: r.Liveness, Usages: r.Usages,
			Certificates: r.Certificates, Blueprints: r.Blueprints, Variables: r.Variables,
		}),
		Records: NewRecords(RecordsConfig{Base: b, ReceiptKey: r.ReceiptKey}),
		Quotas:  NewQuotas(QuotasConfig{Base: b, Blueprints: r.Blueprints, Weights: r.Weights}),
		Costs:   NewCosts(CostsConfig{Base: b, Blueprints: r.Blueprints}),
		Orphans: NewOrphans(OrphansConfig{Base: b, Doubts: r.Doubts, Sweeper: r.Sweeper, SafeMode: r.SafeMode, Work: r.Work}),
		Hosts:   NewHosts(HostsConfig{Base: b, Neighbours: r.Hosts}),
	}
}
