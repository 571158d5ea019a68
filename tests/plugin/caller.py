"""Starts a session with boto3 and hands its response on to the plugin as it is, as programs do.

caller.py PROFILE run REQUEST    waits for the plugin's end
caller.py PROFILE get REQUEST    gets a page through the port that it forwards, and ends it then
"""
import json
import subprocess
import sys
import urllib.request

import boto3

profile, what, request = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = boto3.Session(profile_name=profile).client("ssm")
command = [
    "session-manager-plugin",
    json.dumps(client.start_session(**request)),
    client.meta.region_name,
    "StartSession",
    profile,
    json.dumps(request),
    client.meta.endpoint_url,
]
if what == "run":
    subprocess.run(command, check=True)
else:
    plugin = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in plugin.stdout:
        if line.startswith("Waiting for connections"):
            break
    port = request["Parameters"]["localPortNumber"][0]
    # Whatever proxy is set, loopback needs none.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(opener.open(f"http://127.0.0.1:{port}/").read().decode(), end="")
    plugin.terminate()
    print(plugin.communicate()[0], end="")
    print("status", plugin.returncode)
