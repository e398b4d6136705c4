"""The engine in compiled code, for a world whose requests are known ahead.

What a device, its link and a request do is told in `engine/device.py`, `fleet/link.py` and `engine/request_process.py`;
here the same is done event by event on arrays, to the same bytes, which `tests/simulator/engine/test_compiled_world.py`
holds. Modules of this folder import the compiler: `engine/known_world.py` says when they are loaded.
"""
