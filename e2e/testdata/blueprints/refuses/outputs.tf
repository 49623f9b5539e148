output "bothy" {
  value = { id = docker_container.sandbox.id }
}
