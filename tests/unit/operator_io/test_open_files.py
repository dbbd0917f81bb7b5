"""The operator's limit of open files: each running trainer takes a connection."""

import subprocess
import sys

PROGRAM = """
import resource
from finetune_operator.__main__ import _open_more_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
_open_more_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_of_open_files_is_raised() -> None:
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    soft, hard = map(int, answer.stdout.split())
    assert soft > 256
    assert hard == -1 or soft <= hard
