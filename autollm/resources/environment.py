"""What pods find when they start: environment variables, and volumes of the kinds that give no access to the node."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources import patterns
from autollm.resources.model import Model, Rule, exactly_one
from autollm.resources.quantities import Quantity
from autollm.resources.values import Name

ObjectName = Annotated[str, Field(pattern=patterns.OBJECT_NAME, min_length=1, max_length=253)]
"""The name of an object of the same namespace; no other can be named."""


class SecretKey(Model):
    """One key of a Secret."""

    name: ObjectName = Field(description="The Secret's name.")
    key: Annotated[str, Field(pattern=patterns.DATA_KEY, min_length=1, max_length=253)] = Field(description="The key in it.")


class EnvironmentVariable(Model):
    """One environment variable of every pod."""

    rules: ClassVar = (
        exactly_one("value", "secretKeyRef"),
        Rule(
            "!self.name.startsWith('AUTOLLM_') && self.name != 'JOB_COMPLETION_INDEX'",
            "AUTOLLM_… and JOB_COMPLETION_INDEX are set for the worker: choose another name",
            "name",
        ),
        Rule(
            # BOTO…: plugins of the S3 client; OPENSSL_…: providers; PET_…: options of torchrun.
            "!self.name.matches('^(LD_|PYTHON|BOTO|OPENSSL_|PET_)') && !(self.name in ['PATH', 'ENV', 'BASH_ENV'])",
            "PATH, PYTHON…, LD_… and the like choose what program runs: the image sets them, or the operator's settings",
            "name",
        ),
        Rule(
            # Libraries take …_PROXY however it is written. Of AWS_… and KUBE… there are more with every release: what is harmless is named.
            "!self.name.matches('^(KUBE|SSL)|ENDPOINT|_CA_BUNDLE$|_[Pp][Rr][Oo][Xx][Yy]$') && (!self.name.startsWith('AWS_') || "
            "self.name in ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_REGION', 'AWS_DEFAULT_REGION'])",
            "where workers connect to, by which proxy, and which certificates they trust is for the operator's settings to say; "
            "of AWS_… a run may set keys and region",
            "name",
        ),
    )
    name: Annotated[str, Field(pattern=patterns.ENVIRONMENT_NAME, min_length=1, max_length=128)] = Field(description="The variable's name.")
    value: Annotated[str, Field(max_length=4096)] | None = Field(None, description="Its value, for all to see.")
    secret_key_ref: SecretKey | None = Field(None, description="Its value, from a Secret of the namespace.")


class ClaimVolume(Model):
    """A PersistentVolumeClaim."""

    claim_name: ObjectName = Field(description="The PersistentVolumeClaim's name.")


class EmptyDirVolume(Model):
    """Room on the node for as long as the pod lives."""

    medium: Literal["Memory"] | None = Field(None, description="Memory counts toward the memory limit; absent: the node's disk.")
    size_limit: Quantity | None = Field(None, description="A pod that writes more is evicted.")


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as files."""

    name: ObjectName = Field(description="The ConfigMap's name.")


class SecretVolume(Model):
    """The keys of a Secret as files."""

    secret_name: ObjectName = Field(description="The Secret's name.")


class Volume(Model):
    """Files that every pod sees at one path."""

    rules: ClassVar = (
        exactly_one("persistentVolumeClaim", "emptyDir", "configMap", "secret"),
        Rule("!self.name.startsWith('autollm-')", "volumes called autollm-… are the worker's own: choose another name", "name"),
        Rule(
            # Where the program, its task and its credentials are: what is mounted there would take their place.
            "!self.mountPath.matches('^/(autollm|scratch|tmp|dev|proc|sys|etc|usr|bin|sbin|lib[0-9x]*|boot|run|root|var|opt|app)(/.*)?$')",
            "mountPath must not be in a folder of the system's or the worker's own: mount elsewhere, such as at /cache or /data",
            "mountPath",
        ),
    )
    name: Name = Field(description="The volume's name.")
    persistent_volume_claim: ClaimVolume | None = Field(None, description="A PersistentVolumeClaim of the namespace.")
    empty_dir: EmptyDirVolume | None = Field(None, description="Room for as long as the pod lives; with the defaults it is written {}.")
    config_map: ConfigMapVolume | None = Field(None, description="The keys of a ConfigMap of the namespace.")
    secret: SecretVolume | None = Field(None, description="The keys of a Secret of the namespace.")
    mount_path: Annotated[str, Field(pattern=patterns.MOUNT_PATH, min_length=2, max_length=256)] = Field(
        description="Where pods see it, such as /cache."
    )
    read_only: bool = Field(False, description="true: pods cannot write to it.")
