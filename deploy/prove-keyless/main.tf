# What prove.py tries its proofs on: two repositories, and a role that trusts one entry. Trust and
# permissions are those that the entry's own page shows; the names are what prove.py looks for.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "issuer" {
  description = "The server's issuer, as the entry's page shows it (https://..., no slash at the end)."
  type        = string

  validation {
    condition     = can(regex("^https://[^:?]+[^/:?]$", var.issuer))
    error_message = "The issuer is an https address without a port, a query or a slash at the end."
  }
}

variable "subject" {
  description = "The entry's subject, as its page shows it (organization:<uuid>:entry:<uuid>)."
  type        = string

  validation {
    condition     = can(regex("^organization:[0-9a-f-]{36}:entry:[0-9a-f-]{36}$", var.subject))
    error_message = "The subject is organization:<uuid>:entry:<uuid>, without a *."
  }
}

variable "region" {
  description = "The region of the entry's match pattern."
  type        = string
}

variable "register_issuer" {
  description = "false where the account has the issuer as an identity provider already."
  type        = bool
  default     = true
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  issuer    = trimprefix(var.issuer, "https://")
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
}

resource "aws_ecr_repository" "proof" {
  for_each = toset(["named", "sibling"])

  name         = "valohai-prove-keyless/${each.key}"
  force_delete = true
}

resource "aws_iam_openid_connect_provider" "issuer" {
  count = var.register_issuer ? 1 : 0

  url            = var.issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "proof" {
  name       = "valohai-prove-keyless"
  depends_on = [aws_iam_openid_connect_provider.issuer]

  assume_role_policy = jsonencode({
    "Version" : "2012-10-17",
    "Statement" : [
      {
        "Effect" : "Allow",
        "Principal" : {
          "Federated" : "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.issuer}"
        },
        "Action" : "sts:AssumeRoleWithWebIdentity",
        "Condition" : {
          "StringEquals" : {
            "${local.issuer}:aud" : "sts.amazonaws.com",
            "${local.issuer}:sub" : "${var.subject}"
          }
        }
      }
    ]
  })
}

resource "aws_iam_role_policy" "proof" {
  name = "valohai-ecr-policy"
  role = aws_iam_role.proof.name

  policy = jsonencode({
    "Version" : "2012-10-17",
    "Statement" : [
      {
        "Sid" : "ReadECRRepository",
        "Effect" : "Allow",
        "Action" : [
          "ecr:DescribeImageScanFindings",
          "ecr:GetLifecyclePolicyPreview",
          "ecr:GetDownloadUrlForLayer",
          "ecr:BatchGetImage",
          "ecr:DescribeImages",
          "ecr:DescribeRepositories",
          "ecr:ListTagsForResource",
          "ecr:ListImages",
          "ecr:BatchCheckLayerAvailability",
          "ecr:GetRepositoryPolicy",
          "ecr:GetLifecyclePolicy"
        ],
        "Resource" : [
          "arn:${local.partition}:ecr:${var.region}:${local.account}:repository/valohai-prove-keyless",
          "arn:${local.partition}:ecr:${var.region}:${local.account}:repository/valohai-prove-keyless/*"
        ]
      },
      {
        "Sid" : "GetECRAuthToken",
        "Effect" : "Allow",
        "Action" : "ecr:GetAuthorizationToken",
        "Resource" : "*"
      }
    ]
  })
}

output "role_arn" {
  description = "The Role ARN that the entry has to have."
  value       = aws_iam_role.proof.arn
}

output "pattern" {
  description = "The match pattern that the entry has to have."
  value       = "${split("/", aws_ecr_repository.proof["named"].repository_url)[0]}/valohai-prove-keyless/*"
}
