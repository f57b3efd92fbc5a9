"""What people paste for an image or a pattern: the text, the pattern suggested, the image.

An empty string means that there is nothing to suggest.
"""

from __future__ import annotations

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
HEX = "0123456789abcdef" * 4
ARN = "arn:aws:ecr:us-east-1:123456789012:repository"
AWS = "https://us-east-1.console.aws.amazon.com/ecr"
AZURE_ID = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/"
    "Microsoft.ContainerRegistry/registries/acmereg"
)
GOOGLE = "https://console.cloud.google.com"


def both(*texts: str, meant: str, tag: str = "") -> list[tuple[str, str, str]]:
    """Texts that mean an image, its tag left out of the pattern."""
    return [(text, meant, f"{meant}{tag}") for text in texts]


def whole(*texts: str, meant: str) -> list[tuple[str, str, str]]:
    """Texts that name more than one image: no image is suggested."""
    return [(text, meant, "") for text in texts]


# Pages of web sites; most of them lead to the same without `https://` too.
PAGES = [
    *both(
        "https://hub.docker.com/r/me/train",
        "http://hub.docker.com/r/me/train/",
        "https://hub.docker.com/r/me/train/tags?page=1&name=v1",
        "https://hub.docker.com/r/me/train#readme",
        "https://hub.docker.com/repository/docker/me/train",
        "https://hub.docker.com/repository/docker/me/train/general",
        "https://hub.docker.com/layers/me/train/v1/images/sha256-0123",
        "https://hub.docker.com/v2/repositories/me/train/tags/",
        "https://hub.docker.com/v2/namespaces/me/repositories/train/tags",
        "https://registry.hub.docker.com/r/me/train",
        "https://registry.hub.docker.com/v2/repositories/me/train/tags",
        "https://registry.hub.docker.com/me/train",
        "https://cloud.docker.com/repository/docker/me/train",
        "https://HUB.docker.com:443/r/me/train",
        meant="docker.io/me/train",
    ),
    *both(
        "https://hub.docker.com/_/python",
        "hub.docker.com/_/python?tab=tags",
        meant="docker.io/library/python",
    ),
    *whole(
        "https://hub.docker.com/u/me",
        "https://hub.docker.com/repositories/me",
        "https://hub.docker.com/orgs/me/members",
        meant="docker.io/me/*",
    ),
    *whole(
        "https://hub.docker.com/",
        "https://hub.docker.com",
        "https://www.docker.com/",
        "https://hub.docker.com/v2/",
        "https://app.docker.com/settings",
        meant="docker.io/*",
    ),
    *both(
        "https://quay.io/repository/org/x",
        "https://quay.io/repository/org/x?tab=tags",
        "https://quay.io/api/v1/repository/org/x",
        meant="quay.io/org/x",
    ),
    *whole(
        "https://quay.io/organization/org",
        "https://quay.io/user/org?tab=repos",
        "https://quay.io/repository/org",
        meant="quay.io/org/*",
    ),
    *both(
        "https://github.com/acme/code/pkgs/container/train",
        "https://github.com/Acme/code/pkgs/container/train/12345?tag=v1",
        "https://github.com/orgs/acme/packages/container/package/train",
        "https://github.com/users/acme/packages/container/train/12345",
        meant="ghcr.io/acme/train",
    ),
    *both(
        "https://github.com/acme/code/pkgs/container/code%2Ftrain", meant="ghcr.io/acme/code/train"
    ),
    *whole(
        "https://github.com/acme/code",
        "https://github.com/acme",
        "https://github.com/orgs/acme/packages?repo_name=code",
        meant="ghcr.io/acme/*",
    ),
    *whole(
        "https://gitlab.com/group/project/container_registry",
        "https://gitlab.com/group/project/container_registry/1234?orderBy=NAME",
        "https://gitlab.com/group/project/-/container_registry/1234",
        "https://gitlab.com/group/project",
        meant="registry.gitlab.com/group/project/*",
    ),
    *whole("https://gitlab.com/a/b/c/container_registry", meant="registry.gitlab.com/a/b/c/*"),
    *whole(
        "https://gitlab.com/groups/group/-/container_registries",
        "https://gitlab.com/group",
        meant="registry.gitlab.com/group/*",
    ),
    *both(
        f"{AWS}/repositories/private/{ACCOUNT}/my-repo?region=us-east-1",
        f"{AWS}/repositories/private/{ACCOUNT}/my-repo",
        f"{AWS}/repositories/private/{ACCOUNT}/my-repo/_/image/sha256:{HEX}/details?region=us-east-1",
        f"https://console.aws.amazon.com/ecr/repositories/private/{ACCOUNT}/my-repo?region=us-east-1",
        f"https://{ACCOUNT}-abcd1234.us-east-1.console.aws.amazon.com/ecr/repositories/private/"
        f"{ACCOUNT}/my-repo/?region=us-east-1",
        meant=f"{ECR}/my-repo",
    ),
    *both(
        f"{AWS}/repositories/private/{ACCOUNT}/team/my-repo?region=us-east-1",
        f"{AWS}/repositories/private/{ACCOUNT}/team%2Fmy-repo",
        meant=f"{ECR}/team/my-repo",
    ),
    *both(
        f"https://cn-north-1.console.amazonaws.cn/ecr/repositories/private/{ACCOUNT}/x1",
        meant=f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn/x1",
    ),
    *both(
        f"https://console.amazonaws-us-gov.com/ecr/repositories/private/{ACCOUNT}/x1"
        "?region=us-gov-west-1",
        meant=f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com/x1",
    ),
    *whole(
        f"https://{ACCOUNT}-abcd1234.us-east-1.console.aws.amazon.com/ecr/private-registry/"
        "repositories?region=us-east-1",
        meant=f"{ECR}/*",
    ),
    *whole(
        "https://console.aws.amazon.com/ecr/repositories?region=us-east-1",
        "https://aws.amazon.com/ecr/",
        f"{AWS}/repositories/private/12/my-repo",
        "https://us-east-1.console.aws.amazon.com/s3/home?region=us-east-1",
        meant="",
    ),
    *both("https://gallery.ecr.aws/acme/train", meant="public.ecr.aws/acme/train"),
    *whole(
        f"https://portal.azure.com/#@acme.onmicrosoft.com/resource{AZURE_ID}/overview",
        f"https://portal.azure.com/#resource{AZURE_ID}/repository",
        "https://portal.azure.com/#view/Microsoft_Azure_ContainerRegistries/RepositoryBlade/id/"
        + AZURE_ID.replace("/", "%2F"),
        AZURE_ID,
        meant="acmereg.azurecr.io/*",
    ),
    *whole(f"https://portal.azure.cn/#resource{AZURE_ID}", meant="acmereg.azurecr.cn/*"),
    *whole("https://portal.azure.com/#home", "https://portal.azure.com", meant=""),
    *both(
        f"{GOOGLE}/artifacts/docker/my-project/europe-west1/my-repo/train?project=my-project",
        f"{GOOGLE}/artifacts/docker/my-project/europe-west1/my-repo/train/sha256:{HEX};tab=manifest",
        "projects/my-project/locations/europe-west1/repositories/my-repo/dockerImages/"
        f"train@sha256:{HEX}",
        meant="europe-west1-docker.pkg.dev/my-project/my-repo/train",
    ),
    *both(
        f"{GOOGLE}/artifacts/docker/my-project/us/my-repo/team%2Ftrain",
        meant="us-docker.pkg.dev/my-project/my-repo/team/train",
    ),
    *whole(
        f"{GOOGLE}/artifacts/docker/my-project/europe-west1/my-repo?project=my-project",
        "/projects/my-project/locations/europe-west1/repositories/my-repo",
        meant="europe-west1-docker.pkg.dev/my-project/my-repo/*",
    ),
    *both(
        f"{GOOGLE}/gcr/images/my-project/GLOBAL/train?project=x", meant="gcr.io/my-project/train"
    ),
    *both(f"{GOOGLE}/gcr/images/my-project/EU/train", meant="eu.gcr.io/my-project/train"),
    *whole(f"{GOOGLE}/gcr/images/my-project", meant="gcr.io/my-project/*"),
    *whole(f"{GOOGLE}/artifacts?project=my-project", meant=""),
    *both(
        "https://acme.jfrog.io/ui/repos/tree/General/docker-local/train",
        "https://acme.jfrog.io/ui/native/docker-local/train/",
        meant="acme.jfrog.io/docker-local/train",
    ),
    *whole(
        "https://acme.jfrog.io/ui/repos/tree/General/docker-local%2Ftrain",
        meant="acme.jfrog.io/docker-local/train/*",
    ),
    *whole(
        "https://acme.jfrog.io/ui/repos/tree/General/docker-local",
        "https://acme.jfrog.io/artifactory/api/docker/docker-local/v2/",
        "https://acme.jfrog.io/artifactory/docker-local/*",
        meant="acme.jfrog.io/docker-local/*",
    ),
    *both(
        "https://catalog.redhat.com/software/containers/ubi9/python-311/61a60604c17162a20c1c6a2e",
        meant="registry.access.redhat.com/ubi9/python-311",
    ),
    *both(
        "https://catalog.ngc.nvidia.com/orgs/nvidia/containers/pytorch",
        meant="nvcr.io/nvidia/pytorch",
    ),
    *both(
        "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/tao/containers/tao-toolkit/tags",
        meant="nvcr.io/nvidia/tao/tao-toolkit",
    ),
]

# Addresses of a registry's API, and whatever else begins with a scheme.
ADDRESSES = [
    *whole(
        "https://index.docker.io/v1/",
        "https://index.docker.io/v1",
        "https://registry-1.docker.io/v2/",
        "https://docker.io",
        meant="docker.io/*",
    ),
    *whole(
        "https://host.example.com/v2/",
        "https://host.example.com/v1/",
        "http://host.example.com",
        "https://host.example.com/v2/_catalog",
        "https://host.example.com/v1/_ping",
        "https://host.example.com/harbor/projects/1/repositories",
        meant="host.example.com/*",
    ),
    *whole("me:pa55w0rd@host.example.com", meant="host.example.com/*"),
    *whole(
        "https://host.example.com:5000/v2/",
        "http://host.example.com:5000",
        meant="host.example.com:5000/*",
    ),
    *both(
        "https://host.example.com/v2/team/train/manifests/v1",
        "https://host.example.com/v2/team/train/tags/list",
        f"https://host.example.com/v2/team/train/blobs/sha256:{HEX}",
        "https://host.example.com/team/train/",
        "https://me@host.example.com/team/train?x=1#y",
        "https://me:pa55w0rd@host.example.com/team/train",
        "me:pa55w0rd@host.example.com/team/train",
        "https://host.example.com/api/v2.0/projects/team/repositories/train/artifacts",
        meant="host.example.com/team/train",
    ),
    *whole("https://host.example.com/api/v2.0/projects/team", meant="host.example.com/team/*"),
    *both(
        "https://index.docker.io/v1/repositories/me/train/tags",
        "https://registry-1.docker.io/v2/me/train/manifests/latest",
        meant="docker.io/me/train",
    ),
    *both(
        "docker://ghcr.io/acme/train:v1",
        "oci://ghcr.io/acme/train:v1",
        "docker://docker://ghcr.io/acme/train:v1",
        meant="ghcr.io/acme/train",
        tag=":v1",
    ),
    *whole(f"https://{ECR}", f"https://{ECR}/v2/", meant=f"{ECR}/*"),
]

COMMANDS = [
    *both(
        "docker pull ghcr.io/acme/train:v1",
        "$ docker pull ghcr.io/acme/train:v1",
        "me@host:~$ sudo docker pull -q ghcr.io/acme/train:v1",
        "# docker image pull --platform linux/amd64 ghcr.io/acme/train:v1",
        "podman pull ghcr.io/acme/train:v1",
        "podman --remote pull ghcr.io/acme/train:v1",
        "docker run --rm ghcr.io/acme/train:v1",
        "docker run --rm -it -v /a:/b -p 80:80 --gpus all -e A=b ghcr.io/acme/train:v1 python x.py",
        "docker container run -d --name x ghcr.io/acme/train:v1",
        "docker run -it \\\n  --rm \\\n  ghcr.io/acme/train:v1",
        "DOCKER_HOST=tcp://x:1 /usr/bin/docker push ghcr.io/acme/train:v1",
        "docker tag train ghcr.io/acme/train:v1",
        "docker build -t ghcr.io/acme/train:v1 .",
        "docker buildx build --push --tag=ghcr.io/acme/train:v1 -f Dockerfile .",
        "docker build -t ghcr.io/acme/train:v1 . && docker push ghcr.io/acme/train:v1",
        "skopeo copy docker://ghcr.io/acme/train:v1 dir:/tmp/x",
        "skopeo copy --src-creds me:pa55w0rd docker://ghcr.io/acme/train:v1 oci:x",
        "skopeo inspect --tls-verify=false docker://ghcr.io/acme/train:v1",
        "skopeo inspect docker://ghcr.io/acme/train:v1 | jq .Digest",
        "crane digest ghcr.io/acme/train:v1",
        "nerdctl pull ghcr.io/acme/train:v1",
        "ctr images pull --user me:pa55w0rd ghcr.io/acme/train:v1",
        "crictl pull ghcr.io/acme/train:v1",
        "singularity pull docker://ghcr.io/acme/train:v1",
        "kubectl run x --image=ghcr.io/acme/train:v1",
        "kubectl create deployment x --image ghcr.io/acme/train:v1",
        "kubectl set image deployment/x train=ghcr.io/acme/train:v1",
        "`docker pull ghcr.io/acme/train:v1`",
        '"docker pull ghcr.io/acme/train:v1"',
        "FROM ghcr.io/acme/train:v1",
        "from ghcr.io/acme/train:v1 as base",
        "FROM --platform=$BUILDPLATFORM ghcr.io/acme/train:v1 AS base",
        "COPY --from=ghcr.io/acme/train:v1 /a /b",
        meant="ghcr.io/acme/train",
        tag=":v1",
    ),
    *both("docker pull me/train", "docker run me/train sh", "FROM me/train", meant="me/train"),
    *both("docker pull https://hub.docker.com/r/me/train", meant="docker.io/me/train"),
    *whole(
        "docker login ghcr.io",
        "docker login -u me -p pa55w0rd ghcr.io",
        "docker login --username me --password pa55w0rd ghcr.io",
        "echo pa55w0rd | docker login ghcr.io -u me --password-stdin",
        meant="ghcr.io/*",
    ),
    *whole(
        "aws ecr get-login-password --region us-east-1 | docker login --username AWS "
        f"--password-stdin {ECR}",
        f"aws ecr get-login-password | podman login -u AWS --password-stdin https://{ECR}",
        meant=f"{ECR}/*",
    ),
    *whole("az acr login --name Acmereg", "az acr login -n acmereg", meant="acmereg.azurecr.io/*"),
    *whole(
        "gcloud auth configure-docker europe-west1-docker.pkg.dev",
        meant="europe-west1-docker.pkg.dev/*",
    ),
    # A command that names nothing, or can't be read.
    *whole(
        "docker login -u me -p pa55w0rd",
        "docker ps -a",
        "docker exec x cat pa55w0rd",
        "docker compose run train",
        "docker secret create x pa55w0rd",
        "kubectl set env deployment/x TOKEN=pa55w0rd",
        "kubectl create secret docker-registry x --docker-password=pa55w0rd",
        "kubectl get pods",
        "docker pull",
        "aws sts get-caller-identity",
        "docker login -u me -p 'pa55 w0rd ghcr.io",
        "docker pull <image>",
        "az acr list",
        meant="",
    ),
]

SETTINGS = [
    *both(
        "image: ghcr.io/acme/train:v1",
        "- image: ghcr.io/acme/train:v1",
        '- image: "ghcr.io/acme/train:v1"',
        "image: 'ghcr.io/acme/train:v1' # ours",
        '"image": "ghcr.io/acme/train:v1",',
        "image:ghcr.io/acme/train:v1",
        'image = "ghcr.io/acme/train:v1"',
        "IMAGE=ghcr.io/acme/train:v1",
        "export VALOHAI_IMAGE=ghcr.io/acme/train:v1",
        "ENV BASE_IMAGE ghcr.io/acme/train:v1".replace("IMAGE ", "IMAGE="),
        "container: ghcr.io/acme/train:v1",
        meant="ghcr.io/acme/train",
        tag=":v1",
    ),
    *both(
        f'"repositoryUri": "{ECR}/my-repo",',
        f"repository: {ECR}/my-repo",
        f"url: https://{ECR}/my-repo",
        meant=f"{ECR}/my-repo",
    ),
    *whole(
        'image_pattern: "ghcr.io/acme/*"',
        "Match pattern: ghcr.io/acme/*".replace("h p", "h_p"),
        meant="ghcr.io/acme/*",
    ),
    *whole('"loginServer": "acmereg.azurecr.io",', meant="acmereg.azurecr.io/*"),
    # Whose value may be a secret.
    *whole("password: hunter2/x.y", "PASSWORD=hunter2/x", "token: ghcr.io/acme/train", meant=""),
]

NAMES = [
    *both(f"{ARN}/my-repo", meant=f"{ECR}/my-repo"),
    *both(f"{ARN}/team/my-repo", meant=f"{ECR}/team/my-repo"),
    *whole(f"{ARN}/my-repo/*", meant=f"{ECR}/my-repo/*"),
    *whole(
        f"{ARN}/*", f'"{ARN}/*",', f"Resource: {ARN}/*".replace("Resource", "uri"), meant=f"{ECR}/*"
    ),
    *whole(
        "arn:aws:ecr:us-east-1:*:repository/my-repo/*",
        meant="*.dkr.ecr.us-east-1.amazonaws.com/my-repo/*",
    ),
    *both(
        "arn:aws-cn:ecr:cn-north-1:123456789012:repository/my-repo",
        meant=f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn/my-repo",
    ),
    *both(
        "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/my-repo",
        meant=f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com/my-repo",
    ),
    *whole(
        "arn:aws:ecr:cn-north-1:123456789012:repository/my-repo",  # of another partition
        "arn:aws:ecr:*:123456789012:repository/my-repo",
        "arn:aws:iam::123456789012:role/Worker",
        "arn:aws:ecr-public::123456789012:repository/x1",
        "arn:aws:s3:::bucket/x",
        "arn:aws:ecr:us-east-1:123456789012:registry/x1",
        meant="",
    ),
]

AROUND = [
    *both(
        '"ghcr.io/acme/train"',
        "'ghcr.io/acme/train'",
        "`ghcr.io/acme/train`",
        "“ghcr.io/acme/train”",
        "«ghcr.io/acme/train»",
        "<ghcr.io/acme/train>",
        "<https://ghcr.io/acme/train>",
        "ghcr.io/acme/train,",
        '"ghcr.io/acme/train",',
        "ghcr.io/acme/train;",
        "ghcr.io/acme/train.",
        '["ghcr.io/acme/train"]',
        "- ghcr.io/acme/train",
        "• ghcr.io/acme/train",
        "[train](https://ghcr.io/acme/train)",
        " ghcr.io/acme/train",
        "ghcr.io/acme/train\t",
        "\u00a0ghcr.io/acme/train",
        "ghcr.io/acme/train\r\n",
        "\ufeffghcr.io/acme/train",
        "ghcr.io/\u200bacme/train",
        "ghcr.io/acme/train\u200b",
        "\u2060ghcr.io/acme/train\u200e",
        '\ufeff "ghcr.io/acme/train", ',
        meant="ghcr.io/acme/train",
    ),
    *both(f"{ACCOUNT}.dkr.ecr.us\u2013east\u20131.amazonaws.com/x1", meant=f"{ECR}/x1"),
    *both(
        "1234 5678 9012.dkr.ecr.us-east-1.amazonaws.com/x1",
        '"1234-5678-9012.dkr.ecr.us-east-1.amazonaws.com/x1"',
        "docker pull 1234-5678-9012.dkr.ecr.us-east-1.amazonaws.com/x1",
        meant=f"{ECR}/x1",
    ),
    *whole(
        *(
            "<account-id>.dkr.ecr.<region>.amazonaws.com/*",
            "${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/*",
            "$ACCOUNT.dkr.ecr.us-east-1.amazonaws.com/x",
            "{{ account }}.dkr.ecr.us-east-1.amazonaws.com/x",
            "ghcr.io/<owner>/*",
        ),
        meant="",
    ),
]

PASTED = [*PAGES, *ADDRESSES, *COMMANDS, *SETTINGS, *NAMES, *AROUND]
