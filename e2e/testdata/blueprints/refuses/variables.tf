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
  })
}
