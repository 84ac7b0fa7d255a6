terraform {
  required_version = ">= 1.11, < 2.0" # 1.11 brought write-only arguments: secrets stay out of the state

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7" # 3.7 brought the ephemeral password
    }
  }

  # Which bucket is said at `terraform init -backend-config=bucket=...`; each workspace is a file in it.
  backend "gcs" {
    prefix = "terraform"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # Calls of the budget and perimeter APIs with a person's credentials are charged to this project's quota.
  user_project_override = true
  billing_project       = var.project

  default_labels = { managed-by = "terraform" }
}
