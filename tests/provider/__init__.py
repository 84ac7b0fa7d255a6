"""A stand-in for Terraform's providers: their schemas, and answers that touch nothing.

Terraform loads a provider as a program that it talks gRPC to. The real one for Google is not needed to learn
whether terraform/ is right in itself: the stand-in has the names, types and nesting of the real one's
arguments (schema.json), so `terraform validate`, `plan` and `apply` run as they do elsewhere, on nothing.
What Google's own interfaces would refuse is not found out here.
"""
