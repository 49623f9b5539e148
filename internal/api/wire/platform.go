package wire

import "time"

// PoolRequest sets a pool.
type PoolRequest struct {
	Blueprint string         `json:"blueprint" maxLength:"200" doc:"Name (follows the newest version), or name@version" example:"build"`
	Size      string         `json:"size,omitempty" maxLength:"100" doc:"One of the blueprint's sizes; default: the blueprint's default size" example:"small"`
	Inputs    map[string]any `json:"inputs,omitempty" maxProperties:"64" doc:"Inputs of the blueprint, the same for all members"`
	// The counts are checked by the daemon, which knows how they hang together.
	Target   int64             `json:"target" doc:"Target number of warm members if no schedule matches" example:"3"`
	Schedule []ScheduledTarget `json:"schedule,omitempty" maxItems:"100" doc:"Targets for parts of the week; the first matching one wins"`
	Zone     string            `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone of the schedules; default: UTC" example:"Europe/Berlin"`
	Min      int64             `json:"min" doc:"Minimum number of members during an update"`
	Max      *int64            `json:"max,omitempty" doc:"Maximum number of members, claimed ones not counted; default: the highest target plus surge, at least min plus 1"`
	Surge    int64             `json:"surge" doc:"Maximum number of members above the target during an update, within max"`
	Pause    bool              `json:"pause" doc:"Freeze idle members so that they use no CPU"`
}

// ScheduledTarget is a target for a part of the week, in the pool's time zone.
type ScheduledTarget struct {
	Days   []string `json:"days,omitempty" maxItems:"7" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"Default: every day"`
	From   string   `json:"from" maxLength:"5" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Start time of day" example:"08:00"`
	Until  string   `json:"until" maxLength:"5" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" doc:"End time of day; on the next day if it is not after the start" example:"18:00"`
	Target int64    `json:"target" doc:"Target number of warm members" example:"5"`
}

// Pool is a pool: its settings and members.
type Pool struct {
	Name      string            `json:"name" doc:"Name" example:"builders"`
	Blueprint string            `json:"blueprint" doc:"Name (follows the newest version), or name@version"`
	Size      string            `json:"size,omitempty" doc:"One of the blueprint's sizes; default: the blueprint's default size"`
	Inputs    map[string]any    `json:"inputs,omitempty" doc:"The same for all members"`
	Target    int64             `json:"target" doc:"Target number of warm members if no schedule matches"`
	Schedule  []ScheduledTarget `json:"schedule,omitempty" doc:"Targets for parts of the week"`
	Zone      string            `json:"zone,omitempty" doc:"Time zone of the schedules; default: UTC"`
	Min       int64             `json:"min" doc:"Minimum number of members during an update"`
	Max       int64             `json:"max" doc:"Maximum number of members"`
	Surge     int64             `json:"surge" doc:"Maximum number of members above the target during an update, within max"`
	Pause     bool              `json:"pause" doc:"Idle members are frozen"`

	Held      string     `json:"held,omitempty" doc:"Why the pool is paused; absent if it is not"`
	HeldAt    *time.Time `json:"held_at,omitempty" doc:"Time of the pause"`
	Failures  int        `json:"failures,omitempty" doc:"Number of failed creates in a row"`
	Broken    string     `json:"broken,omitempty" doc:"Why no member can be created; absent if one can"`
	Stuck     string     `json:"stuck,omitempty" doc:"Why the pool cannot replace members of an older version or on a drained host; absent otherwise"`
	StuckHint string     `json:"stuck_hint,omitempty" doc:"Next step"`
	FromFile  bool       `json:"from_file" doc:"The pool is defined in the platform team's file"`

	Digest    string    `json:"digest" doc:"Current digest of the blueprint"`
	TargetNow int       `json:"target_now" doc:"Current target"`
	Warm      int       `json:"warm" doc:"Number of warm members"`
	Stale     int       `json:"stale" doc:"Number of warm members of an older version"`
	Making    int       `json:"making" doc:"Number of members in creation"`
	Leased    int       `json:"leased" doc:"Number of claimed environments that still exist"`
	UpdatedAt time.Time `json:"updated_at" doc:"Time of the last update"`
	UpdatedBy string    `json:"updated_by,omitempty" doc:"User of the last update"`
}

// PoolList lists the pools.
type PoolList struct {
	Pools []Pool `json:"pools" doc:"By name"`
}

// Limits of a scope. What is absent does not limit.
type Limits struct {
	Environments   *int64   `json:"environments,omitempty" doc:"Maximum number of environments; each counts until its deletion is verified"`
	MilliCPUs      *int64   `json:"milli_cpus,omitempty" doc:"Maximum CPUs in use, in thousandths"`
	MemoryMiB      *int64   `json:"memory_mib,omitempty" doc:"Maximum memory in use, in MiB"`
	SecondsPerDay  *int64   `json:"seconds_per_day,omitempty" doc:"Maximum leased seconds per UTC day"`
	MicrosPerDay   *int64   `json:"micros_per_day,omitempty" doc:"Budget per UTC day, in millionths of the currency unit"`
	MicrosPerMonth *int64   `json:"micros_per_month,omitempty" doc:"Budget per UTC month, in millionths of the currency unit"`
	MaxTTLSeconds  *int64   `json:"max_ttl_seconds,omitempty" doc:"Maximum lease including extensions"`
	Blueprints     []string `json:"blueprints,omitempty" maxItems:"200" doc:"Allowed blueprints, by name; default: any"`
	Sizes          []string `json:"sizes,omitempty" maxItems:"200" doc:"Allowed sizes; default: any"`
}

// Usage is what a scope has now. Time and money are of the UTC day and month, what is held for running leases included.
type Usage struct {
	Environments    int64 `json:"environments" doc:"Number of environments whose deletion is not verified"`
	MilliCPUs       int64 `json:"milli_cpus" doc:"Their CPUs, in thousandths"`
	MemoryMiB       int64 `json:"memory_mib" doc:"Their memory, in MiB"`
	SecondsToday    int64 `json:"seconds_today" doc:"Leased seconds today"`
	MicrosToday     int64 `json:"micros_today" doc:"Money today, in millionths of the currency unit"`
	MicrosThisMonth int64 `json:"micros_this_month" doc:"Money this month, in millionths of the currency unit"`
}

// Quota is a scope with its limits and what it uses of them.
type Quota struct {
	Scope  string `json:"scope" doc:"TENANT, TENANT/team/NAME or TENANT/user/NAME" example:"acme/team/core"`
	Limits Limits `json:"limits" doc:"Limits; an absent one does not limit"`
	Usage  Usage  `json:"usage" doc:"Current usage"`
}

// QuotaList lists quotas.
type QuotaList struct {
	Quotas []Quota `json:"quotas" doc:"By tenant, kind and name"`
}

// Host is a host and its environments.
type Host struct {
	Name         string            `json:"name" doc:"Name" example:"local"`
	Endpoint     string            `json:"endpoint" doc:"Address of the engine, as its daemon knows it"`
	Labels       map[string]string `json:"labels,omitempty" doc:"Labels declared by its daemon"`
	Capacity     Capacity          `json:"capacity" doc:"Capacity; 0 means no limit"`
	Used         Capacity          `json:"used" doc:"Usage by its environments"`
	Drained      bool              `json:"drained" doc:"The host is drained: bothy places no new environments there"`
	Down         string            `json:"down,omitempty" doc:"Why the host is down; absent if it is up"`
	Served       bool              `json:"served" doc:"A daemon serves the host; bothy places new environments only on served hosts"`
	Lost         bool              `json:"lost" doc:"No daemon has served the host for a minute or more"`
	Daemon       string            `json:"daemon,omitempty" doc:"Daemon that serves the host"`
	Address      string            `json:"address,omitempty" doc:"Address of the daemon that serves the host, or served it last" example:"https://rack-1.example:8443"`
	SeenAt       *time.Time        `json:"seen_at,omitempty" doc:"Time of the daemon's last report"`
	Environments []string          `json:"environments,omitempty" doc:"Environments on a lost host"`
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

// Brake is the state of the reap limiter, which limits mass expiry after a clock jump.
type Brake struct {
	On     bool       `json:"on" doc:"The reap limiter is on: expiry is slow or stopped"`
	Since  *time.Time `json:"since,omitempty" doc:"Time at which it turned on"`
	Reason string     `json:"reason,omitempty" doc:"Why the reap limiter is on"`
	Live   int        `json:"live" doc:"Number of environments at that time"`
	Reaped int        `json:"reaped" doc:"Number of environments deleted since then"`
}
