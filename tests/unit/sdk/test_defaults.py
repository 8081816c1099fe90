"""What a manifest says once for all its streams."""

from trunkline.sdk.defaults import spread


def one(common, **own):
    return spread({"each_stream": common, "streams": [{"name": "deals", **own}]})["streams"][0]


def test_tables_are_merged_and_texts_name_the_stream():
    made = one({"list": {"path": "/{stream}", "query": {"a": 1}}}, list={"query": {"b": 2}})
    assert made == {"name": "deals", "list": {"path": "/deals", "query": {"a": 1, "b": 2}}}


def test_false_takes_away_and_anew_takes_the_place():
    common = {"list": {"path": "/x", "query": {"a": 1}}, "incremental": {"path": "/y"}}
    made = one(common, incremental=False, list={"anew": True, "path": "/z"})
    assert made == {"name": "deals", "list": {"path": "/z"}}
    inner = one(common, list={"query": {"anew": True, "b": 2}})
    assert inner["list"] == {"path": "/x", "query": {"b": 2}}
