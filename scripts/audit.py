"""Reports known weaknesses of the locked packages: runs pip-audit, and counts the packages that it could ask about.

The argument is the path of pip-audit. The exit status is 1 if a locked package has a known weakness. If the package
index serves no advisories (a mirror may not), nothing is found, and the output says so.
"""

import json
import subprocess
import sys

ask = [sys.argv[1], "--requirement", "requirements.lock", "--no-deps", "--disable-pip", "--format", "json"]
answer = subprocess.run([*ask, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
try:
    pinned = json.loads(answer.stdout)["dependencies"]
except (ValueError, KeyError):
    sys.exit(f"pip-audit has not worked: {answer.stderr.strip()[-500:]}")
asked = [package for package in pinned if "skip_reason" not in package]
weak = [package for package in asked if package["vulns"]]
for package in weak:
    print(f"{package['name']} {package['version']}: {', '.join(found['id'] for found in package['vulns'])}")
print(f"pip-audit: {len(asked)} of {len(pinned)} packages could be asked about, {len(weak)} have known weaknesses")
if not asked:
    print("NOT AUDITED: this package index serves no advisories")
sys.exit(1 if weak else 0)
