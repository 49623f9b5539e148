# What bothy decides. Every blueprint declares exactly this variable.
variable "bothy" {
  description = "Set by bothy: who the sandbox is for, its limits, and what it may use."
  type = object({
    instance    = string      # id of the bothy installation
    environment = string      # id of the environment
    name        = string      # name for the resource
    size        = string      # name of the size that the limits are of
    cpus        = number      # cores
    memory_mib  = number      # memory, swap included
    pids        = number      # most processes at once
    image       = string      # the engine's own id of the image
    network     = string      # a network that no other environment is on
    root        = bool        # whether root may be used inside
    labels      = map(string) # owner labels; they belong on every resource
    engine      = string      # the address of this environment's own door to the Docker engine

    security_opts = list(string)                                                  # no-new-privileges and the seccomp profile
    ulimits       = list(object({ name = string, soft = number, hard = number })) # limits of each process
  })
}

# The inputs of blueprint.yaml, one variable each.
variable "shm_mib" {
  description = "Size of /dev/shm in MiB."
  type        = number
}
