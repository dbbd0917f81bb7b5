"""What Helm makes of the chart: it lints, renders for all kinds of values, and refuses what it doesn't know."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from finetune_api import pod
from finetune_operator.labels import MANAGED_BY, MANAGER
from finetune_operator.permissions import NEEDED
from finetune_operator.settings import Settings, TrainerImage, load_settings

if TYPE_CHECKING:
    from conftest import Helm

pytestmark = pytest.mark.timeout(1800)  # the first test on a machine may have to build Helm

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "finetune-operator"
VALUES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "data" / "chart_values.yaml").read_text("utf-8"))


def named(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The only object of that kind (and name)."""
    found = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    assert len(found) == 1, [(o["kind"], o["metadata"]["name"]) for o in objects]
    return found[0]


def settings_of(objects: list[dict[str, Any]], folder: Path) -> Settings:
    """Settings as the operator reads them from the rendered ConfigMap."""
    config_maps = [o for o in objects if o["kind"] == "ConfigMap" and "settings.yaml" in o["data"]]
    assert len(config_maps) == 1
    file = folder / "settings.yaml"
    file.write_text(config_maps[0]["data"]["settings.yaml"])
    return load_settings(file)


@pytest.mark.parametrize("name", VALUES)
def test_lint_has_nothing_to_say(helm: "Helm", name: str) -> None:
    done = helm("lint", "--strict", CHART, values=VALUES[name])
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_every_object_has_the_labels_of_the_release(helm: "Helm", name: str) -> None:
    for found in helm.render(VALUES[name]):
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "finetune", found["metadata"]["name"]
        if labels.get("app.kubernetes.io/component") != "test":
            assert labels["app.kubernetes.io/managed-by"] == "Helm", found["metadata"]["name"]


@pytest.mark.parametrize("name", VALUES)
def test_the_operator_can_read_its_settings(helm: "Helm", name: str, tmp_path: Path) -> None:
    settings = settings_of(helm.render(VALUES[name]), tmp_path)
    assert settings.namespaces == VALUES[name].get("watchNamespaces", [])
    assert "default" in settings.profiles


def test_settings_say_what_the_values_say(helm: "Helm", tmp_path: Path) -> None:
    settings = settings_of(helm.render(VALUES["everything"]), tmp_path)
    assert settings.trainer.name == "registry.example.com/ml/finetune-trainer@sha256:" + "0123456789abcdef" * 4
    assert settings.trainer.pull_secrets == ["registry"]
    assert settings.trainer.run_as_user == 1000
    assert set(settings.profiles) == {"default", "gpu"}
    gpu = settings.profiles["gpu"]
    assert gpu.requests == {"cpu": "8", "memory": "64Gi", "ephemeral-storage": "1.5Gi"}
    assert gpu.cache is not None
    assert (gpu.cache.claim_name, gpu.cache.sub_path) == ("models", "hub")
    assert settings.stores.settings["AWS_REGION"] == "eu-north-1"
    assert (settings.poll_seconds, settings.workers, settings.log_format) == (2.5, 4, "json")


def test_values_hold_every_setting_with_its_default(helm: "Helm", tmp_path: Path) -> None:
    objects = helm.render({})
    settings = settings_of(objects, tmp_path)
    assert settings == Settings(trainer=TrainerImage(name=settings.trainer.name), profiles=settings.profiles)
    written = yaml.safe_load((tmp_path / "settings.yaml").read_text())
    aliases = {field.alias for field in Settings.model_fields.values()}
    assert aliases - set(written) == {"namespaces"}


def test_a_change_of_settings_restarts_the_operator(helm: "Helm") -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = named(helm.render(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/settings"])

    assert checksum({}) == checksum({"podLabels": {"a": "b"}})
    assert checksum({}) != checksum({"settings": {"workers": 3}})


def test_ports_are_the_same_everywhere(helm: "Helm") -> None:
    objects = helm.render(VALUES["everything"])
    template = named(objects, "Deployment")["spec"]["template"]
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    assert ports == {"metrics": 9100, "health": 8100}
    assert named(objects, "Service")["spec"]["ports"][0]["port"] == 9100
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "9100"


def test_the_crd_is_kept_and_is_the_generated_one(helm: "Helm") -> None:
    crd = named(helm.render({}), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
    del crd["metadata"]["annotations"], crd["metadata"]["labels"]
    assert crd == yaml.safe_load((ROOT / "crds" / "finetunejobs.yaml").read_text("utf-8"))


def test_rights_are_cluster_wide_only_where_all_namespaces_are_watched(helm: "Helm") -> None:
    everywhere = {(o["kind"], o["metadata"].get("namespace")) for o in helm.render({"rbac": {"userRoles": False}})}
    assert ("ClusterRole", None) in everywhere
    assert not {kind for kind, _ in everywhere} & {"Role", "RoleBinding"}
    values = {**VALUES["namespaced"], "rbac": {"userRoles": False}}
    some = {(o["kind"], o["metadata"].get("namespace")) for o in helm.render(values)}
    assert {("Role", "team-a"), ("Role", "team-b"), ("RoleBinding", "team-a"), ("RoleBinding", "team-b")} <= some
    assert not {kind for kind, _ in some} & {"ClusterRole", "ClusterRoleBinding"}


def test_rights_are_spelt_out(helm: "Helm") -> None:
    rules = [rule for o in helm.render(VALUES["everything"]) for rule in o.get("rules", [])]
    granted = {word for rule in rules for part in ("apiGroups", "resources", "verbs") for word in rule[part]}
    assert "*" not in granted
    assert not granted & {"secrets", "configmaps", "pods/exec", "pods/log", "namespaces", "roles", "nodes"}


@pytest.mark.parametrize("name", ["default", "namespaced"])
def test_rights_are_those_that_the_operator_asks_for(helm: "Helm", name: str) -> None:
    for role in helm.render({**VALUES[name], "rbac": {"userRoles": False}}):
        if role["kind"] in ("Role", "ClusterRole"):
            rules = {
                (group, resource, tuple(rule["verbs"]))
                for rule in role["rules"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
            }
            assert rules == set(NEEDED)


def test_network_policies_let_through_what_is_needed(helm: "Helm") -> None:
    policies = {
        (o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"]
        for o in helm.render(VALUES["everything"])
        if o["kind"] == "NetworkPolicy"
    }
    assert set(policies) == {("finetune", "tuner"), ("team-a", "tuner-trainers"), ("team-b", "tuner-trainers")}
    operator, trainers = policies["finetune", "tuner"], policies["team-a", "tuner-trainers"]
    reached = [rule["ports"][0]["port"] for rule in operator["egress"] if "namespaceSelector" in str(rule.get("to"))]
    assert reached == [pod.PORT]
    assert trainers["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "finetune-trainer", MANAGED_BY: MANAGER}
    callers = [peer["namespaceSelector"]["matchLabels"] for rule in trainers["ingress"] for peer in rule["from"]]
    assert [next(iter(labels.values())) for labels in callers] == ["monitoring", "finetune"]
    assert "169.254.0.0/16" in str(trainers["egress"])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"imge": {}}, "at '': additional properties 'imge' not allowed"),
        ({"image": {"tga": "x"}}, "at '/image': additional properties 'tga' not allowed"),
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"settings": {"poolSeconds": 3}}, "at '/settings': additional properties 'poolSeconds' not allowed"),
        ({"settings": {"metricsPort": 80}}, "at '/settings/metricsPort': minimum: got 80, want 1,024"),
        ({"profiles": {"default": {"request": {}}}}, "at '/profiles/default': additional properties 'request'"),
        ({"profiles": {"default": {"limits": {"memory": "8GB"}}}}, "at '/profiles/default/limits/memory': '8GB' does"),
        ({"profiles": {"GPU": {}}}, "at '/profiles': additional properties 'GPU' not allowed"),
        (
            {"profiles": {"default": {"labels": {"a b": "c"}}}},
            "at '/profiles/default/labels': additional properties 'a b'",
        ),
        (
            {"profiles": {"default": {"affinity": {"nodeAffinity": {"requiredDuringScheduling": {}}}}}},
            "additional properties 'requiredDuringScheduling' not allowed",
        ),
        (
            {"profiles": {"default": {"tolerations": [{"operator": "Exist"}]}}},
            "at '/profiles/default/tolerations/0/operator'",
        ),
        ({"stores": {"settings": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "at '/stores/settings/AWS_SECRET_ACCESS_KEY'"),
        ({"profiles": {"default": None, "cpu-small": None}}, "at '/profiles': minProperties: got 0, want 1"),
        ({"stores": {"settings": {"PATH": "/x"}}}, "at '/stores/settings': additional properties 'PATH' not allowed"),
        ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
        ({"trainer": {"image": {"digest": "latest"}}}, "at '/trainer/image/digest': 'latest' does not match"),
        ({"networkPolicy": {"prometheus": [{"podSelectr": {}}]}}, "additional properties 'podSelectr' not allowed"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_mistake_in_the_values_is_refused_with_its_place(helm: "Helm", values: dict[str, Any], told: str) -> None:
    done = helm.template(values)
    assert done.returncode != 0
    assert told in done.stderr


def test_user_ids_of_trainers_can_be_left_to_the_cluster(helm: "Helm", tmp_path: Path) -> None:
    """As `--set trainer.runAsUser=null` has it, which takes the value away."""
    settings = settings_of(helm.render({"trainer": {"runAsUser": None}}), tmp_path)
    assert settings.trainer.run_as_user is None
    assert settings_of(helm.render({}), tmp_path).trainer.run_as_user == 65532


def test_rights_are_documented_as_they_are() -> None:
    """The table of the page against what the operator asks for."""
    page = (ROOT / "docs" / "how-to" / "install.md").read_text("utf-8")
    table = page.partition("| Rights of the operator | Used to |")[2].partition("\n\n")[0]
    documented = {
        (resource.strip("` "), frozenset(verb.strip() for verb in verbs.split(",")))
        for row in table.splitlines()[2:]
        for resource, _, verbs in (part.partition(":") for part in row.split("|")[1].split(";"))
    }
    assert documented == {(resource, frozenset(verbs)) for _, resource, verbs in NEEDED}


def test_values_for_kind_are_right(helm: "Helm", tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "examples" / "cluster" / "values-kind.yaml").read_text("utf-8"))
    assert set(settings_of(helm.render(values), tmp_path).profiles) == {"default"}


POLICIES = ("--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"


@pytest.mark.parametrize("name", VALUES)
def test_policies_are_bound_where_the_operator_watches_and_know_its_account(helm: "Helm", name: str) -> None:
    objects = [o for o in helm.render(VALUES[name], *POLICIES) if o["kind"] in (POLICY, BINDING)]
    policies, bindings = ([o for o in objects if o["kind"] == kind] for kind in (POLICY, BINDING))
    assert {o["metadata"]["name"] for o in policies} == {o["spec"]["policyName"] for o in bindings}
    assert len(policies) == len(bindings) == 7
    account = named(helm.render(VALUES[name]), "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    for policy in policies:
        assert f'"system:serviceaccount:finetune:{account}"' in str(policy["spec"]["matchConditions"])
        assert policy["metadata"]["labels"]["app.kubernetes.io/instance"] == "finetune"
    watched = VALUES[name].get("watchNamespaces", [])
    selected = [o["spec"].get("matchResources", {}).get("namespaceSelector", {}) for o in bindings]
    assert [one["matchExpressions"][0]["values"] if one else [] for one in selected] == [watched] * 7


def test_debugging_is_denied_on_request_and_by_the_jobs_of_the_namespace(helm: "Helm") -> None:
    objects = helm.render({"admissionPolicy": {"denyDebugging": True}}, *POLICIES)
    bindings = {o["spec"]["policyName"].rpartition("-")[2]: o["spec"] for o in objects if o["kind"] == BINDING}
    assert {"exec", "debug"} < bindings.keys()
    with_jobs = {name: spec["paramRef"] for name, spec in bindings.items() if "paramRef" in spec}
    assert with_jobs == {"exec": {"selector": {}, "parameterNotFoundAction": "Allow"}}


def test_policies_can_be_left_out_and_are_where_the_api_server_has_none(helm: "Helm") -> None:
    without = [helm.render({}), helm.render({"admissionPolicy": {"enabled": False}}, *POLICIES)]
    assert [o["kind"] for objects in without for o in objects if o["kind"] in (POLICY, BINDING)] == []
    trusted = helm.render({"admissionPolicy": {"trustedAccounts": ["restorer"], "controllers": []}}, *POLICIES)
    limits = ("operator-jobs", "operator-pods")
    for policy in (o for o in trusted if o["kind"] == POLICY and not o["metadata"]["name"].endswith(limits)):
        assert '"restorer"' in str(policy["spec"]["matchConditions"])
        assert "job-controller" not in str(policy)
