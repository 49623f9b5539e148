# What bothy decides. Every blueprint declares exactly this variable.
variable "bothy" {
  type = object({
    instance    = string
    environment = string
    name        = string
    size        = string
    cpus        = number
    memory_mib  = number
    pids        = number
    image       = string
    network     = string
    root        = bool
    labels      = map(string)
    engine      = string

    security_opts = list(string)                                                  # no-new-privileges and the seccomp profile
    ulimits       = list(object({ name = string, soft = number, hard = number })) # limits of each process
  })
}
