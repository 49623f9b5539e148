output "bothy" {
  description = "Read by bothy: the container that is the sandbox."
  value       = { id = docker_container.sandbox.id }
}
