output "deployment" {
  description = "What the deploy program needs to know, as JSON: terraform output -json deployment. Holds no secret."
  value       = local.deployment
}

output "url" {
  description = "Where the site answers once a version is promoted."
  value       = "https://${local.host}"
}
