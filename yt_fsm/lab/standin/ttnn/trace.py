"""Capturing a run of operations once and replaying it on the same tensors."""

import sys
import weakref

from .errors import require


class MeshTraceId(int):
    """A captured trace's number."""


class Trace:
    """The operations of one capture, and the tensors that were made while it lives."""

    def __init__(self):
        self.steps = []
        self.captured = False
        self.made_since = weakref.WeakSet()
        self.warned = False


def begin_trace_capture(mesh_device, *, cq_id=None):
    """Start recording; operations are recorded and not run until execute_trace."""
    require(mesh_device.capturing is None, "begin_trace_capture inside another capture")
    require(
        mesh_device.trace_region_size > 0,
        "the trace buffer does not fit: open the device with trace_region_size",
    )
    number = MeshTraceId(len(mesh_device.traces) + 1)
    mesh_device.traces[number] = mesh_device.capturing = Trace()
    return number


def end_trace_capture(mesh_device, trace_id, *, cq_id=None):
    """Stop recording; what the captured operations made holds nothing until execute_trace."""
    trace = _trace(mesh_device, trace_id)
    require(mesh_device.capturing is trace, f"trace {int(trace_id)} is not being captured")
    mesh_device.capturing = None
    trace.captured = True
    for _, _, _, made in trace.steps:
        for tensor in made:
            tensor.forget()


def execute_trace(mesh_device, trace_id, *, cq_id=None, blocking=True):
    """Run the recorded operations again, on what their tensors hold now."""
    trace = _trace(mesh_device, trace_id)
    require(mesh_device.capturing is None, "execute_trace inside a trace capture")
    require(trace.captured, f"trace {int(trace_id)} has not been captured to its end")
    if trace.made_since and not trace.warned:
        trace.warned = True
        print(
            f"ttnn stand-in: warning: {len(trace.made_since)} device tensors made after the trace was captured "
            "are still alive; on a card the trace may write over them",
            file=sys.stderr,
        )
    for function, args, options, made in trace.steps:
        results = function(*args, **options)
        for old, new in zip(made, results if isinstance(results, (tuple, list)) else [results]):
            old.take(new)


def release_trace(mesh_device, trace_id):
    """Drop a trace."""
    _trace(mesh_device, trace_id)
    del mesh_device.traces[trace_id]


def _trace(mesh_device, trace_id):
    require(trace_id in mesh_device.traces, f"no trace {trace_id}")
    return mesh_device.traces[trace_id]
