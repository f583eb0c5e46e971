"""The patterns of the documents' scalar values, each with the sentence that helps where a value does not fit. Imports nothing."""

from __future__ import annotations

DECIMAL = r"^[+-]?([0-9]{1,12}([.][0-9]{1,12})?|[.][0-9]{1,12})([eE][+-]?[0-9]{1,2})?$"
DURATION = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DELTA = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
SELECTOR = r"^[-a-z0-9*?]+(/[-a-z0-9*?]+)?$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
OBJECT_REFERENCE = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ENDPOINT = r"^https?://[^ ]+$"
REGION = r"^[-a-z0-9]+$"
HUB_REVISION = r"^[-._A-Za-z0-9/]+$"
REVISION = r"^r[1-9][0-9]{0,8}$"

_S3 = "s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[^ ]*)?"
_FILE = "file:///.*"
_HUB = "hf://[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*(@[A-Za-z0-9][-._/A-Za-z0-9]*)?"
_PACKAGE = "package://[A-Za-z_][._A-Za-z0-9]*/[^ ]+"
_PATH = "[^: ][^:]*"
URI = rf"^({_S3}|{_FILE}|{_HUB}|{_PACKAGE}|{_PATH})$"
SOURCE_URI = rf"^({_S3}|{_FILE}|{_PACKAGE}|{_PATH})$"
FOLDER_URI = rf"^({_S3}|{_FILE}|{_PATH})$"
LOCATIONS = (URI, SOURCE_URI, FOLDER_URI)
LOCATION = "x-autollm-location"
"""Marks, in the editor's schema, the fields in which a relative path counts from the document; no CRD carries it."""

LABEL_KEY = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"
LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
QUANTITY = r"^[0-9]{1,9}([.][0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
DEVICE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"
IMAGE = r"^[A-Za-z0-9][-._:/@A-Za-z0-9]*[A-Za-z0-9]$"
ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
DATA_KEY = r"^[-_A-Za-z0-9][-._A-Za-z0-9]*$"
MOUNT_PATH = r"^(/[.]?[-_A-Za-z0-9][-._A-Za-z0-9]*)+$"

REMEDIES = {
    DECIMAL: 'write a number in quotes, such as "0.5" or "2e-4", or a bare whole number',
    DURATION: "write hours, minutes and seconds, in this order, such as 6h, 30m, 90s or 1h30m",
    NAME: "write small letters, digits and dashes, beginning and ending with a letter or digit",
    DELTA: "write the name of a delta, such as math/sft",
    SELECTOR: "write the name of a delta, or a pattern with * and ? such as */dpo",
    DIGEST: "write sha256: and 64 hexadecimal digits",
    OBJECT_REFERENCE: "write the name of a Secret: small letters, digits, dashes and dots",
    ENDPOINT: "write an address that begins with https:// or http://",
    REGION: "write a region such as eu-central-1",
    HUB_REVISION: "write a branch, a tag or a commit of the Hub",
    REVISION: "write the name of a published revision, such as r6",
    URI: "write s3://bucket/key, file:///path, hf://org/name[@revision], package://python_package/file or a path relative to this document",
    SOURCE_URI: "write s3://bucket/key, file:///path, package://python_package/file or a path relative to this document",
    FOLDER_URI: "write s3://bucket/prefix, file:///folder or a folder relative to this document",
    LABEL_KEY: "write letters, digits, dashes, dots and underscores, if need be after a DNS name and a slash",
    LABEL_VALUE: "write at most 63 letters, digits, dashes, dots and underscores",
    OBJECT_NAME: "write small letters, digits and dashes, beginning and ending with a letter or digit",
    QUANTITY: "write a whole number, or a number with a unit such as 16Gi or 500m",
    IMAGE: "write an image such as registry.example.org/autollm-runtime@sha256:…",
    ENVIRONMENT_NAME: "write letters, digits and underscores, beginning with a letter or an underscore",
    DATA_KEY: "write letters, digits, dashes, underscores and dots, not beginning with a dot",
    MOUNT_PATH: "write an absolute path of letters, digits, dots, dashes and underscores, such as /cache",
}
