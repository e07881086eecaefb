"""Parents and children among many: links are made and cut, and never become a loop.

Whether a link would close a loop is asked before each: it would if the parent to be stands below its child.
Most answers are at hand (a child without children, a parent without a parent); else the ancestors are
climbed. When that has cost more than STEPS for each that is there, which no honest mail brings about,
link/cut trees answer (Sleator and Tarjan, 1983): each question then costs the logarithm of how many there
are, so that nobody can make it quadratic (attack row 34).
"""

from __future__ import annotations

from typing import Final

STEPS: Final = 32
"""Ancestors climbed, for each that is there, before link/cut trees are made."""
NOBODY: Final = -1


class Ancestry:
    """Numbers from 0 with a parent each, or NOBODY."""

    __slots__ = ("_children", "_climbed", "_trees", "parents")

    def __init__(self, count: int = 0) -> None:
        self.parents: list[int] = [NOBODY] * count
        self._children: list[int] = [0] * count
        """How many each has."""
        self._climbed = 0
        self._trees: _Trees | None = None

    def add(self) -> int:
        """One more; its number."""
        self.parents.append(NOBODY)
        self._children.append(0)
        if self._trees is not None:
            self._trees.add()
        return len(self.parents) - 1

    def link(self, parent: int, child: int) -> bool:
        """Make a child that has no parent that of another, unless that would be a loop: False."""
        if self._below(child, parent):
            return False
        return self._joined(parent, child)

    def adopt(self, parent: int, child: int) -> bool:
        """The same for a child that has nobody above or below it, so that it can be no loop; else False."""
        if self.parents[child] != NOBODY or self._children[child] or parent == child:
            return False
        return self._joined(parent, child)

    def _joined(self, parent: int, child: int) -> bool:
        self.parents[child] = parent
        self._children[parent] += 1
        if self._trees is not None:
            self._trees.link(parent, child)
        return True

    def cut(self, child: int) -> None:
        """Part a child from its parent, if it has one."""
        parent = self.parents[child]
        if parent != NOBODY:
            self.parents[child] = NOBODY
            self._children[parent] -= 1
            if self._trees is not None:
                self._trees.cut(child)

    def _below(self, top: int, other: int) -> bool:
        """Whether ``other`` is ``top``, which has no parent, or stands below it."""
        if other == top:
            return True
        parents = self.parents
        if not self._children[top] or parents[other] == NOBODY:
            return False
        if self._trees is not None:
            return self._trees.root(other) == top
        steps = 0
        while other != NOBODY and other != top:
            other = parents[other]
            steps += 1
        self._climbed += steps
        if self._climbed > STEPS * (len(parents) + STEPS):
            self._trees = _Trees(parents)
        return other == top


class _Trees:
    """Link/cut trees: each path of preferred children is a splay tree ordered by depth."""

    __slots__ = ("_left", "_right", "_up")

    def __init__(self, parents: list[int]) -> None:
        self._left = [NOBODY] * len(parents)
        self._right = [NOBODY] * len(parents)
        self._up = list(parents)
        """The parent in the splay tree; of its root the parent of the path's top."""

    def add(self) -> None:
        self._left.append(NOBODY)
        self._right.append(NOBODY)
        self._up.append(NOBODY)

    def link(self, parent: int, child: int) -> None:
        self._access(child)
        self._up[child] = parent

    def cut(self, child: int) -> None:
        self._access(child)
        above = self._left[child]
        self._up[above] = NOBODY
        self._left[child] = NOBODY

    def root(self, one: int) -> int:
        self._access(one)
        while self._left[one] != NOBODY:
            one = self._left[one]
        self._splay(one)
        return one

    def _access(self, one: int) -> None:
        """Make the path from the root to ``one`` preferred, with ``one`` at the root of its splay tree."""
        last = NOBODY
        at = one
        while at != NOBODY:
            self._splay(at)
            self._right[at] = last
            last = at
            at = self._up[at]
        self._splay(one)

    def _is_top(self, one: int) -> bool:
        above = self._up[one]
        return above == NOBODY or one not in (self._left[above], self._right[above])

    def _splay(self, one: int) -> None:
        while not self._is_top(one):
            above = self._up[one]
            if not self._is_top(above):
                higher = self._up[above]
                same = (self._left[above] == one) is (self._left[higher] == above)
                self._rotate(above if same else one)
            self._rotate(one)

    def _rotate(self, one: int) -> None:
        above = self._up[one]
        higher = self._up[above]
        if not self._is_top(above):
            if self._left[higher] == above:
                self._left[higher] = one
            else:
                self._right[higher] = one
        self._up[one] = higher
        near, far = (self._left, self._right) if self._left[above] == one else (self._right, self._left)
        inner = far[one]
        near[above] = inner
        if inner != NOBODY:
            self._up[inner] = above
        far[one] = above
        self._up[above] = one
