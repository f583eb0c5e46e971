"""Text that does harm where it is taken for more than text."""

from __future__ import annotations

HOSTILE = (
    '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1"><marquee>loud</marquee>'
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe> {{ 7 * 7 }} {% raw %} <!--<script> ${7*7} &lt; [red]x[/red]"
)


def hostile(text: str) -> str:
    """Return a text with harmful text around it."""
    return f"{HOSTILE} {text} {HOSTILE}"
