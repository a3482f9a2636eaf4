"""`milestonexprotectrestPython`, driven as its users drive it: a scenario prints what the client saw as JSON.

Usage: python milestone_client.py URL SCENARIO   (runs in an environment of its own: see requirements.txt)
"""

import json
import sys

from milestonexprotectrestpython.xprfilteroperator import XPRFilterOperator
from milestonexprotectrestpython.xprrestservice import XPRRestService

URL, NAME = sys.argv[1:]


def site(user="demo", password="demo"):
    service = XPRRestService()
    service.ApiGatewayUrlPrefix = URL
    (service.LoginWindowsUser if "\\" in user else service.LoginBasicUser)(user, password)
    return service


def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever users would meet
        return [type(error).__name__, str(error)]
    return None


def log_in():
    return {
        user: [
            len(site(user).GetCameras()),
            site(user).LoginInfo.Scope,
            refused(site, user, "wrong"),
        ]
        for user in ("demo", "DOMAIN\\demo")
    }


def cameras():
    service = site()
    filters = {"equals": "Camera 1", "notEquals": "Camera 1", "startsWith": "Cam", "contains": "era 2"}
    return {
        name: [
            camera.Name
            for camera in service.GetCameras(True, "name", getattr(XPRFilterOperator, name), value)
        ]
        for name, value in filters.items()
    }


def names():
    service = site()
    groups = {group.Id: group.Name for group in service.GetStateGroups()}
    return {
        "events": [event.Name for event in service.GetUserDefinedEvents()],
        "groups": sorted({groups.get(kind.StateGroupId, "") for kind in service.GetEventTypes()}),
    }


def expiry():
    service = site()
    print("READY", flush=True)
    sys.stdin.readline()
    return refused(service.GetCameras)


print("RESULT", json.dumps(globals()[NAME]()))
