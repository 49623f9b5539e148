package wire

import "time"

// PoolRequest sets a pool.
type PoolRequest struct {
	Blueprint string         `json:"blueprint" maxLength:"200" doc:"A name, which follows its newest version, or name@version" example:"build"`
	Size      string         `json:"size,omitempty" maxLength:"100" doc:"One of the blueprint's sizes; its default when empty" example:"small"`
	Inputs    map[string]any `json:"inputs,omitempty" maxProperties:"64" doc:"The blueprint's inputs, the same for all members"`
	// The counts are checked by the daemon, which knows how they hang together.
	Target   int64             `json:"target" doc:"How many to keep warm when no entry of the schedule holds" example:"3"`
	Schedule []ScheduledTarget `json:"schedule,omitempty" maxItems:"100" doc:"Other targets at set times; the first that holds wins"`
	Zone     string            `json:"zone,omitempty" maxLength:"64" doc:"Time zone of the schedule, as the IANA names it; UTC when empty" example:"Europe/Berlin"`
	Min      int64             `json:"min" doc:"Never fewer than this while a new version is rolled out"`
	Max      *int64            `json:"max,omitempty" doc:"Never more than this at once, claimed ones not counted; default: the greatest target and surge, and one more where no member may go first"`
	Surge    int64             `json:"surge" doc:"How many above the target may exist while a new version is rolled out, within max"`
	Pause    bool              `json:"pause" doc:"Freeze idle members, so that they cost no CPU"`
}

// ScheduledTarget is a target for a part of the week, in the pool's time zone.
type ScheduledTarget struct {
	Days   []string `json:"days,omitempty" maxItems:"7" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"All when absent"`
	From   string   `json:"from" maxLength:"5" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Time of day it begins" example:"08:00"`
	Until  string   `json:"until" maxLength:"5" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" doc:"Time of day it ends; one that is not after its begin is on the next day" example:"18:00"`
	Target int64    `json:"target" doc:"How many to keep warm then" example:"5"`
}

// Pool is a pool as it is set, and what there is of it.
type Pool struct {
	Name      string            `json:"name" doc:"What the platform team calls it" example:"builders"`
	Blueprint string            `json:"blueprint" doc:"A name, which follows its newest version, or name@version"`
	Size      string            `json:"size,omitempty" doc:"One of the blueprint's sizes; its default when absent"`
	Inputs    map[string]any    `json:"inputs,omitempty" doc:"The same for all members"`
	Target    int64             `json:"target" doc:"How many to keep warm when no entry of the schedule holds"`
	Schedule  []ScheduledTarget `json:"schedule,omitempty" doc:"Other targets at set times"`
	Zone      string            `json:"zone,omitempty" doc:"Time zone of the schedule; UTC when absent"`
	Min       int64             `json:"min" doc:"Never fewer than this while a new version is rolled out"`
	Max       int64             `json:"max" doc:"Never more than this at once"`
	Surge     int64             `json:"surge" doc:"How many above the target while a new version is rolled out, within max"`
	Pause     bool              `json:"pause" doc:"Idle members are frozen"`

	Held      string     `json:"held,omitempty" doc:"Why nothing is made for it any more; absent when it works"`
	HeldAt    *time.Time `json:"held_at,omitempty" doc:"Since when it is held"`
	Failures  int        `json:"failures,omitempty" doc:"Creates that failed in a row"`
	Broken    string     `json:"broken,omitempty" doc:"Why no member can be made; absent when one can"`
	Stuck     string     `json:"stuck,omitempty" doc:"Why members of an older version, or on a drained host, cannot be replaced; absent when there are none, or they are being replaced"`
	StuckHint string     `json:"stuck_hint,omitempty" doc:"What to do about it"`
	FromFile  bool       `json:"from_file" doc:"It is kept by the platform team's file"`

	Digest    string    `json:"digest" doc:"What a member is made from now"`
	TargetNow int       `json:"target_now" doc:"What the schedule says now"`
	Warm      int       `json:"warm" doc:"Members that are ready"`
	Stale     int       `json:"stale" doc:"Those of them that are of an older version"`
	Making    int       `json:"making" doc:"Members that are not ready yet"`
	Leased    int       `json:"leased" doc:"Members that were claimed and still live"`
	UpdatedAt time.Time `json:"updated_at" doc:"When it was set"`
	UpdatedBy string    `json:"updated_by,omitempty" doc:"Who set it"`
}

// PoolList lists the pools.
type PoolList struct {
	Pools []Pool `json:"pools" doc:"By name"`
}

// Limits of a scope. What is absent does not limit.
type Limits struct {
	Environments   *int64   `json:"environments,omitempty" doc:"Most at once, until they are proven gone"`
	MilliCPUs      *int64   `json:"milli_cpus,omitempty" doc:"Most thousandths of a core at once"`
	MemoryMiB      *int64   `json:"memory_mib,omitempty" doc:"Most memory at once, in MiB"`
	SecondsPerDay  *int64   `json:"seconds_per_day,omitempty" doc:"Most leased seconds of a UTC day"`
	MicrosPerDay   *int64   `json:"micros_per_day,omitempty" doc:"Most money of a UTC day, in millionths of the currency's unit"`
	MicrosPerMonth *int64   `json:"micros_per_month,omitempty" doc:"Most money of a UTC month, in millionths of the currency's unit"`
	MaxTTLSeconds  *int64   `json:"max_ttl_seconds,omitempty" doc:"Longest lease, extensions included"`
	Blueprints     []string `json:"blueprints,omitempty" maxItems:"200" doc:"Blueprints that may be asked for, by name; any when absent"`
	Sizes          []string `json:"sizes,omitempty" maxItems:"200" doc:"Sizes that may be asked for; any when absent"`
}

// Usage is what a scope has now. Time and money are of the UTC day and month, what is held for running leases included.
type Usage struct {
	Environments    int64 `json:"environments" doc:"All that are not proven gone"`
	MilliCPUs       int64 `json:"milli_cpus" doc:"Their thousandths of a core"`
	MemoryMiB       int64 `json:"memory_mib" doc:"Their memory, in MiB"`
	SecondsToday    int64 `json:"seconds_today" doc:"Leased seconds of the day"`
	MicrosToday     int64 `json:"micros_today" doc:"Money of the day, in millionths of the currency's unit"`
	MicrosThisMonth int64 `json:"micros_this_month" doc:"Money of the month, in millionths of the currency's unit"`
}

// Quota is a scope with its limits and what it uses of them.
type Quota struct {
	Scope  string `json:"scope" doc:"TENANT, TENANT/team/NAME or TENANT/user/NAME" example:"acme/team/core"`
	Limits Limits `json:"limits" doc:"What is absent does not limit"`
	Usage  Usage  `json:"usage" doc:"What there is now"`
}

// QuotaList lists quotas.
type QuotaList struct {
	Quotas []Quota `json:"quotas" doc:"By tenant, kind and name"`
}

// Host is an engine host and what stands on it.
type Host struct {
	Name         string            `json:"name" doc:"What its daemon calls it" example:"local"`
	Endpoint     string            `json:"endpoint" doc:"The engine's address, as its daemon knows it"`
	Labels       map[string]string `json:"labels,omitempty" doc:"As its daemon declared them"`
	Capacity     Capacity          `json:"capacity" doc:"What it can hold; 0 is not bounded"`
	Used         Capacity          `json:"used" doc:"What its live environments take"`
	Drained      bool              `json:"drained" doc:"It keeps what it has and gets nothing new"`
	Down         string            `json:"down,omitempty" doc:"Why it cannot be used now; absent when it can"`
	Served       bool              `json:"served" doc:"A daemon serves it now; nothing new is placed on one that is not served"`
	Lost         bool              `json:"lost" doc:"Nobody has served it for a minute or more"`
	Daemon       string            `json:"daemon,omitempty" doc:"Daemon that serves it"`
	Address      string            `json:"address,omitempty" doc:"Where people reach the daemon that serves it, or did last" example:"https://rack-1.example:8443"`
	SeenAt       *time.Time        `json:"seen_at,omitempty" doc:"When its daemon last reported"`
	Environments []string          `json:"environments,omitempty" doc:"What is on it, when it is lost"`
}

// Capacity is what a host holds or can hold.
type Capacity struct {
	Environments int64 `json:"environments" doc:"Environments"`
	MilliCPUs    int64 `json:"milli_cpus" doc:"Thousandths of a core"`
	MemoryMiB    int64 `json:"memory_mib" doc:"Memory, in MiB"`
}

// HostList lists the hosts.
type HostList struct {
	Hosts []Host `json:"hosts" doc:"By name"`
}

// Brake keeps a jump of the clock from ending leases in mass.
type Brake struct {
	On     bool       `json:"on" doc:"Leases are ended slowly, or not at all"`
	Since  *time.Time `json:"since,omitempty" doc:"Since when it is on"`
	Reason string     `json:"reason,omitempty" doc:"Why it is on"`
	Live   int        `json:"live" doc:"Environments that there were then"`
	Reaped int        `json:"reaped" doc:"How many it has let go since"`
}
