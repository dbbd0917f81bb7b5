"""A pod that predicts rows at the end of its run: from a ConfigMap, with the result in a claim."""

import json

from pod_process import Pod, results

from finetune_api import pod

TEXTS = ["The printer was a joy at home.", 'Our "invoice" broke.', "不行"]


def test_rows_of_a_config_map_are_predicted(pod_files: Pod) -> None:
    rows = pod_files.at(pod.CONFIG_MAPS) / "new" / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    pod_files.order(training={"epochs": 1}, predict={"input": "configmap://new/rows.jsonl"})
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    assert ended.told.artifacts.predictions == "pvc://results/team-a/tickets/6f1c/predictions.jsonl"
    found = [json.loads(line) for line in (results(pod_files) / "predictions.jsonl").read_text().splitlines()]
    assert [row["text"] for row in found] == TEXTS
    assert {row["label"] for row in found} <= {"praise", "complaint", "neither"}
