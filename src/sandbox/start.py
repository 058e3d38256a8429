"""The first program inside of the sandbox (worker.cc sends it; docs/sandbox.md). It supervises one program of a model:
prepares the folder and the imports, then runs the program in a child process, which has no way to start another, watches
what the child takes, and sends out the files that it leaves.

`control` is where the caller's frames come from: a line with a length, then so many bytes. Frames are answered on RESULTS
by lines, files with their bytes behind them. Whatever arrives there is checked by the caller: nothing is trusted because
this supervisor sent it.
"""
import ast
import ctypes
import importlib.abc
import importlib.util
import json
import linecache
import os
import resource
import select
import signal
import struct
import sys
import traceback
import types

RESULTS = 4
WORK, GIVEN = "/files", "/given"
OWN_PID = 0x7ACE7ACE  # stands in the filter for the number of the process that it holds
TICK = 0.015  # seconds between two looks at what the program takes
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
NAME = "program.py"  # in the program's tracebacks

BACKEND = '''
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase as FigureManager
from matplotlib.backends.backend_agg import FigureCanvasAgg
import os


class FigureCanvas(FigureCanvasAgg):
    saved = False

    def print_figure(self, filename, *args, **kwargs):
        self.saved = self.saved or isinstance(filename, (str, os.PathLike))
        return super().print_figure(filename, *args, **kwargs)


def keep(manager):
    number = 1
    while os.path.lexists(f"plot-{number}.png"):
        number += 1
    manager.canvas.print_figure(f"plot-{number}.png")


def show(*args, **kwargs):
    for manager in Gcf.get_all_fig_managers():
        if not getattr(manager.canvas, "saved", False):
            keep(manager)
    Gcf.destroy_all()
'''


class BackendFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """matplotlib's backend of this place: show() keeps figures as files. Made when it is first asked for."""

    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "facet_plots" else None

    def exec_module(self, module):
        exec(compile(BACKEND, "facet_plots.py", "exec"), module.__dict__)


def send(*parts):
    for part in parts:
        view = memoryview(part.encode() if isinstance(part, str) else part)
        while view:
            view = view[os.write(RESULTS, view):]


def prctl(option, value, pointer=None):
    result = ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), pointer, 0, 0)
    if result != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def confine(code):
    """From here on this process can start no other, run no other program and signal none but itself."""
    code = code.replace(struct.pack("=I", OWN_PID), struct.pack("=I", os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))

    class Filter(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    prctl(PR_SET_SECCOMP, 2, ctypes.byref(Filter(len(code) // 8, ctypes.addressof(buffer))))


def copy_tree(source, target):
    os.makedirs(target, exist_ok=True)
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            copy_tree(entry.path, os.path.join(target, entry.name))
        elif entry.is_file(follow_symlinks=False):
            copy_file(entry.path, os.path.join(target, entry.name))


def copy_file(source, target):
    with open(source, "rb") as data, open(target, "wb") as out:
        while block := data.read(1 << 20):
            out.write(block)


def regular_files(folder, depth=4):
    """(path, stat) of the regular files below, links and special files left out."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from regular_files(entry.path, depth - 1)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path, entry.stat(follow_symlinks=False)


def bring_files(most_bytes):
    """Copies the conversation's files, small ones first; those that do not fit can be read where they are."""
    if not os.path.isdir(GIVEN):
        return
    left = most_bytes
    for path, info in sorted(regular_files(GIVEN), key=lambda found: found[1].st_size):
        target = os.path.join(WORK, os.path.relpath(path, GIVEN))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if info.st_size <= left:
            copy_file(path, target)
            left -= info.st_size
        else:
            os.symlink(path, target)


def state_of_files():
    return {path: (info.st_size, info.st_mtime_ns) for path, info in regular_files(WORK)}


def send_files(before, limits):
    """What a program that ended well has made or changed, in the order in which it was written."""
    made = [(info.st_mtime_ns, path, info.st_size) for path, info in regular_files(WORK)
            if before.get(path) != (info.st_size, info.st_mtime_ns)]
    left, count, named = limits["files_bytes"], limits["files"], 20
    for _, path, size in sorted(made):
        name = os.fsencode(os.path.relpath(path, WORK))
        content = None
        if size <= min(left, limits["file_bytes"]) and count > 0:
            try:
                with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as data:
                    content = data.read(size)
            except OSError:
                pass  # made unreadable
        if content is not None:
            send(f"file {len(name)} {len(content)}\n", name, content)
            left -= len(content)
            count -= 1
        elif named > 0:  # thousands of names are of no use to anybody
            send(f"left_out {len(name)} 0\n", name)
            named -= 1


def taken():
    """(bytes of memory, threads) of all processes but the first and this one."""
    memory = threads = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (1, os.getpid()):
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as status:
                for line in status:
                    if line.startswith((b"RssAnon:", b"RssShmem:")):
                        memory += int(line.split()[1]) << 10
                    elif line.startswith(b"Threads:"):
                        threads += int(line.split()[1])
        except (OSError, ValueError):
            pass  # it has just ended
    return memory, threads


def excess(limits):
    """Which limit is exceeded, or None."""
    memory, threads = taken()
    files = 0
    for folder in (WORK, "/tmp"):
        held = os.statvfs(folder)
        memory += (held.f_blocks - held.f_bfree) * held.f_frsize
        files += held.f_files - held.f_ffree
    if memory > limits["memory"]:
        return "memory"
    if threads > limits["threads"]:
        return "threads"
    return "inodes" if files > limits["inodes"] else None


def supervise(child, alive, limits):
    """Waits for the child; how it ended, as a line."""
    while True:
        ended, _, _ = select.select([alive], [], [], TICK)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        if ended:  # the program has closed it, or is about to be gone
            select.select([], [], [], 0.001)
        reason = excess(limits)
        if reason:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"excess {reason}"


def is_worth_showing(value):
    """Not None, and not what plotting functions return."""
    if isinstance(value, (list, tuple)) and value:
        return is_worth_showing(value[0])
    return value is not None and not type(value).__module__.startswith("matplotlib")


def execute(source):
    """Runs the program as __main__; the value of a last line that is an expression is printed, as in a notebook."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = [NAME]
    linecache.cache[NAME] = (len(source), None, source.splitlines(True), NAME)
    tree = ast.parse(source, NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NAME, "exec"), main.__dict__)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), NAME, "eval"), main.__dict__)
        if is_worth_showing(value):
            print(value if isinstance(value, str) or hasattr(value, "to_string") else repr(value))


def keep_figures():
    """Figures that are open and were not saved."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    import facet_plots
    from matplotlib._pylab_helpers import Gcf
    ours = [m for m in Gcf.get_all_fig_managers() if isinstance(m.canvas, facet_plots.FigureCanvas)]
    others = [m for m in Gcf.get_all_fig_managers() if m not in ours]
    for manager in ours:
        if not manager.canvas.saved:
            facet_plots.keep(manager)
    pictures = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".webp")
    if others and not any(name.lower().endswith(pictures) for name in os.listdir(WORK)):
        for manager in others:  # of a backend that the program chose: whether they were saved is not known
            facet_plots.keep(manager)


def run_program(job):
    """In the child: the exit code."""
    try:
        execute(job["source"])
        keep_figures()
        return 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        return 1


def be_child(job, settings, code):
    os.close(RESULTS)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with open("/tmp/input", "wb+") as given:
        os.unlink("/tmp/input")
        given.write(job["input"].encode())
        given.seek(0)
        os.dup2(given.fileno(), 0)
    os.chdir(WORK)
    limits = settings["limits"]
    resource.setrlimit(resource.RLIMIT_NPROC, (limits["threads"], limits["threads"]))
    if settings["trusted"]:
        # The program is facet's own and confines those that it starts.
        module = types.ModuleType("facet_sandbox")
        module.confine = lambda: confine(code)
        sys.modules["facet_sandbox"] = module
    else:
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))
        confine(code)
    sys.stdin = open(0, encoding="utf-8", errors="replace")
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.stderr.reconfigure(errors="backslashreplace")
    status = run_program(job)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)


def frame(control):
    line = control.readline()
    return control.read(int(line)) if line else None


def main(control):
    settings = json.loads(frame(control))
    code = bytes(settings["filter"])
    sys.path.extend(settings["paths"])
    sys.meta_path.append(BackendFinder())
    prctl(PR_SET_DUMPABLE, 0)  # so that the program can neither read nor change this process
    limits = settings["limits"]
    bring_files(limits["files_bytes"] // 2)
    if os.path.isdir("/matplotlib"):
        copy_tree("/matplotlib", os.environ["MPLCONFIGDIR"])
    for name in settings["prepare"]:
        try:
            __import__(name)
        except ImportError:
            pass  # a program that wants it says so
    before = state_of_files()
    send("ready 0 0\n")
    job = frame(control)
    if job is None:
        os._exit(0)  # there is no program after all
    control.close()
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(alive)
        be_child(json.loads(job), settings, code)
    os.close(held)
    for stream in (0, 1, 2):  # the program's, so that their ends are seen when it ends
        os.dup2(alive, stream)
    end = supervise(child, alive, limits)
    if settings["cache"]:
        copy_tree(os.environ["MPLCONFIGDIR"], WORK)
    if end == "exit 0":
        send_files(before, limits)
    send(f"end {len(end)} 0\n", end)
    os._exit(0)
