"""A terminal with a program in it: what is typed, and the screen that a person would see (pyte emulates it)."""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import termios
import time

import pyte

PATIENCE = float(os.environ.get("FACET_PATIENCE", "120"))  # seconds until something is given up


class Terminal:
    def __init__(self, command, environment=None, rows=24, columns=80, folder=None):
        self.screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self.stream = pyte.ByteStream(self.screen)
        self.command = command
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})})
            if folder:
                os.chdir(folder)
            os.execvp(command[0], command)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:  # a terminal takes no more than its queue holds
            written = os.write(self.terminal, data[:1024])
            data = data[written:]
            self._pump(0.02)

    def paste(self, text):
        """As a terminal does it that was asked for bracketed paste."""
        self.type("\x1b[200~" + text.replace("\n", "\r") + "\x1b[201~")

    def _pump(self, seconds):
        """Reads what comes for so long; False at the end."""
        until = time.monotonic() + seconds
        while True:
            ready = select.select([self.terminal], [], [], max(0, until - time.monotonic()))[0]
            if not ready:
                return True
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.stream.feed(data)

    def lines(self):
        """The screen, without blanks at the ends."""
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        """All that was shown, with what has scrolled away."""
        gone = ["".join(line[x].data for x in range(self.screen.columns)).rstrip() for line in self.screen.history.top]
        return "\n".join(gone + self.lines())

    def await_(self, what, last_line=False):
        """Until the text (a regular expression) is shown; on the last line that is not empty, if so asked."""
        until = time.monotonic() + PATIENCE
        while True:
            shown = next((line for line in reversed(self.lines()) if line), "") if last_line else self.text()
            if re.search(what, shown):
                return
            alive = self._pump(0.1)
            if not alive or time.monotonic() > until:
                if re.search(what, self.text()):
                    return
                raise AssertionError(f"{' '.join(self.command)}: {what!r} did not come; the screen:\n" + self.framed())

    def prompt(self):
        """Until the program waits for a question, and nothing else comes."""
        self.await_(r"^>>>$", last_line=True)
        self._pump(0.2)

    def say(self, line):
        self.type(line + "\n")
        self._pump(0.3)
        self.prompt()

    def interrupt(self):
        self.type("\x03")

    def exit_code(self):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._pump(0.05)
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                self.child = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"{' '.join(self.command)}: does not end; the screen:\n" + self.framed())

    def close(self):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = 0
        os.close(self.terminal)

    def framed(self):
        shown = self.lines()
        while shown and not shown[-1]:
            shown.pop()
        return "\n".join("| " + line for line in shown)


def same_screen(terminal, name, folder, replace=()):
    """Compares the screen with FOLDER/NAME.txt; FACET_UPDATE_SCREENS=1 writes it, to be looked at."""
    shown = "\n".join(terminal.lines()).rstrip() + "\n"
    for pattern, text in replace:
        shown = re.sub(pattern, text, shown)
    path = pathlib.Path(folder) / f"{name}.txt"
    if os.environ.get("FACET_UPDATE_SCREENS"):
        path.write_text(shown)
        return
    wanted = path.read_text()
    if shown != wanted:
        raise AssertionError(f"{name}: the screen is\n{shown}\nand should be\n{wanted}")
