terraform {
  required_version = ">= 1.4"

  required_providers {
    docker = {
      source  = "kreuzwerker/docker"
      version = ">= 4.0, < 5.0"
    }
  }
}

provider "docker" {
  host = var.bothy.engine
}
