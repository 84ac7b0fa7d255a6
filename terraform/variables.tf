variable "project" {
  description = "Id of the Google Cloud project, which is also the name of the workspace."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project is a project's id: 6 to 30 lower-case letters, digits and hyphens. Ids with a domain (example.com:id) do not work on Cloud Run; make another project."
  }
}

variable "region" {
  description = "Where everything is. It can not be changed later: App Engine and Datastore stay where they were made."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is one region, such as europe-west1, not a zone (europe-west1-b) and not App Engine's own name (europe-west)."
  }
}

variable "target" {
  description = "What runs the site: appengine or cloudrun."
  type        = string
  default     = "appengine"

  validation {
    condition     = contains(["appengine", "cloudrun"], var.target)
    error_message = "target is \"appengine\" or \"cloudrun\"."
  }
}

variable "domain" {
  description = "Host name the site answers to, if it has one of its own; else that of App Engine or Cloud Run."
  type        = string
  default     = ""

  validation {
    condition     = var.domain == "" || can(regex("^[a-z0-9.-]+\\.[a-z]+$", var.domain))
    error_message = "domain is a host name alone, without https:// and without a path."
  }
}

variable "deletion_protection" {
  description = "Refuses to delete the SQL instance and the Datastore. Turn it off in an apply of its own before terraform destroy."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "Days that daily backups of SQL and Datastore are kept. Charged by size."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 98
    error_message = "backup_days is 1 to 98: Datastore keeps no backup longer than 14 weeks."
  }
}

variable "datastore_location" {
  description = "Where Datastore is, if not in the region: eur3 or nam5 span regions, and cost about twice as much an operation."
  type        = string
  default     = ""
}

variable "sql_tier" {
  description = "Machine of Cloud SQL. db-f1-micro is about 8 to 10 USD a month and has no SLA; db-custom-1-3840, about 50 USD, has one."
  type        = string
  default     = "db-f1-micro"

  validation {
    condition     = can(regex("^db-(f1-micro|g1-small|custom-[0-9]+-[0-9]+)$", var.sql_tier))
    error_message = "sql_tier is db-f1-micro, db-g1-small or db-custom-CPUS-MEGABYTES; the edition is Enterprise."
  }
}

variable "sql_version" {
  description = "Major version of PostgreSQL."
  type        = string
  default     = "POSTGRES_17"

  validation {
    condition     = can(regex("^POSTGRES_[0-9]+$", var.sql_version))
    error_message = "sql_version is Cloud SQL's name of a version, such as POSTGRES_17."
  }
}

variable "sql_max_connections" {
  description = "Connections that PostgreSQL allows: instances x workers x threads must stay below it. Each takes a few MB of the tier's memory."
  type        = number
  default     = 100

  validation {
    condition     = var.sql_max_connections >= 25
    error_message = "sql_max_connections is 25 or more: Cloud SQL keeps some for itself."
  }
}

variable "sql_high_availability" {
  description = "A second machine in another zone takes over. Doubles the price of Cloud SQL."
  type        = bool
  default     = false
}

variable "sql_public_address" {
  description = "The address that the /cloudsql socket and the Auth Proxy use; no network may reach it otherwise. Off, migrations need the Cloud Run job or a private pool of Cloud Build."
  type        = bool
  default     = true
}

variable "sql_private_address" {
  description = "An address in a network of the project's own, which the site then uses by TCP. Brings the network and its connector, about 14 USD a month."
  type        = bool
  default     = false
}

variable "cache" {
  description = "Memorystore for Redis: about 36 USD a month for 1 GB, and the connector, about 14. Losing it loses nothing."
  type        = bool
  default     = false
}

variable "cache_size_gb" {
  description = "Size of the cache in GB."
  type        = number
  default     = 1

  validation {
    condition     = var.cache_size_gb >= 1 && floor(var.cache_size_gb) == var.cache_size_gb
    error_message = "cache_size_gb is a whole number, 1 or more."
  }
}

variable "static_bucket" {
  description = "Serve static files from a public bucket instead of App Engine's handlers or the container."
  type        = bool
  default     = false
}

variable "build_repository" {
  description = "What Cloud Build deploys on each push to main: owner/name on GitHub (with the Cloud Build app installed), or projects/P/locations/L/connections/C/repositories/R. Empty: nothing."
  type        = string
  default     = ""

  validation {
    condition = var.build_repository == "" || can(regex(
      "^([\\w.-]+/[\\w.-]+|projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+)$", var.build_repository
    ))
    error_message = "build_repository is owner/name, or the full name of a repository that is connected to Cloud Build: gcloud builds repositories list prints it."
  }
}

variable "alert_email" {
  description = "Who gets alerts. Empty: they are seen in the console only."
  type        = string
  default     = ""

  validation {
    condition     = var.alert_email == "" || can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "alert_email is one e-mail address; for several people use a group's."
  }
}

variable "runbooks" {
  description = "Where the runbooks are, for the link in each alert: a path in the repository, or a URL of that page."
  type        = string
  default     = "docs/operations.md"
}

variable "latency_seconds" {
  description = "If one request in twenty takes longer than this, the alert latency is raised."
  type        = number
  default     = 2

  validation {
    condition     = var.latency_seconds > 0
    error_message = "latency_seconds is more than 0."
  }
}

variable "task_delay_seconds" {
  description = "If tasks begin later than this, the alert oldest-task-age is raised."
  type        = number
  default     = 300

  validation {
    condition     = var.task_delay_seconds >= 60
    error_message = "task_delay_seconds is 60 or more: less is normal while an instance starts."
  }
}

variable "billing_account" {
  description = "Billing account of the budget alert (gcloud billing accounts list). Empty: no budget."
  type        = string
  default     = ""

  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account reads 012345-6789AB-CDEF01: gcloud billing accounts list prints it."
  }
}

variable "budget" {
  description = "What a month may cost, in whole units of the billing account's currency."
  type        = number
  default     = 50

  validation {
    condition     = var.budget >= 1 && floor(var.budget) == var.budget
    error_message = "budget is a whole number, 1 or more."
  }
}

variable "access_policy" {
  description = "Number of the organization's access policy, for a perimeter of VPC Service Controls around the project (gcloud access-context-manager policies list). Empty: no perimeter. Only with target = cloudrun."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9]*$", var.access_policy))
    error_message = "access_policy is the number of the policy, without accessPolicies/."
  }
}

variable "access_levels" {
  description = "Full names of the access levels that may come from outside the perimeter: people who operate, Cloud Build."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for level in var.access_levels : can(regex("^accessPolicies/[0-9]+/accessLevels/\\w+$", level))])
    error_message = "Each of access_levels reads accessPolicies/NUMBER/accessLevels/NAME."
  }
}

variable "perimeter_enforced" {
  description = "Refuse what the perimeter does not allow. Off, it is only logged: read that first."
  type        = bool
  default     = false
}
