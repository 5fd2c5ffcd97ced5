"""Sections of a config as constructor calls: what is wrong is named with the nearest right thing."""

import pytest

from jaxsr import sections
from jaxsr.types import UserError


def refused(words, function, *arguments, **options):
    with pytest.raises(UserError, match=words) as caught:
        function(*arguments, **options)
    return str(caught.value)


def shrunken(*, width, depth=2, gain=1.0, border):
    """A constructor with required and optional arguments."""
    return width, depth, gain, border


def test_unknown_name_lists_the_names_and_the_nearest():
    table = {"sftnet": 1, "prior_net": 2}
    assert sections.pick(table, "sftnet", "networks.gen.name") == 1
    message = refused("did you mean 'sftnet'", sections.pick, table, "sfnet", "gen.name")
    assert message.startswith("config.gen.name = 'sfnet'")
    assert message.endswith("it must be one of prior_net, sftnet.")
    assert "did you mean" not in refused("xyz", sections.pick, table, "xyz", "a")


def test_call_passes_the_section_and_names_what_is_wrong_with_it():
    call = sections.call
    assert call(shrunken, {"width": 3, "gain": 0.5}, "a", border="clamp") == (3, 2, 0.5, "clamp")
    message = refused("did you mean 'width'", call, shrunken, {"widht": 3}, "a.b", border="clamp")
    assert message.startswith("config.a.b.widht is not known")
    assert message.endswith("it takes width, depth, gain.")
    refused("config.a.b.width is missing: add it", call, shrunken, {}, "a.b", border="clamp")
    # what is given by the program is not the config's to say
    refused(
        "config.a.border is not known", call, shrunken, {"width": 3, "border": "x"}, "a", border="y"
    )
    refused("config.a.x is not known: remove it", call, lambda: None, {"x": 1}, "a")


def test_rest_leaves_keys_out_and_makes_tuples():
    section = {"name": "a", "widths": [1, 2], "scale": 4}
    assert sections.rest(section, "name") == {"widths": (1, 2), "scale": 4}
    assert section["widths"] == [1, 2]
