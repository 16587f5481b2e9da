"""An XMP document edited in place: everything by other programs stays, with its prefixes and its order.

The standard library's DOM keeps prefixes, comments and processing instructions; its writer does not keep line breaks in
attributes, so this module has its own writer. ElementTree would rename every prefix, and an XMP toolkit (exempi)
would add a compiled library for four properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.dom import Node
from xml.dom.minidom import Document, Element, parseString

from retrieval.folding import fold
from retrieval.labels.xmp import OURS, UnreadableXmp, parse_xmp

MOST_BYTES = 4 << 20
"""Bytes of an editable document: it takes about twenty times that in memory."""

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"
XML = "http://www.w3.org/XML/1998/namespace"
PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    OURS: "photoseek",
}
"""Namespace -> its usual prefix (ISO 16684-1)."""

_EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="photoseek">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about=""/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
_DECLARED = re.compile(rb"^(?:\xef\xbb\xbf)?<\?xml\b")


class XmpDocument:
    """An XMP document, or a new one without any property.

    Args:
        data: the file; empty for a new one.

    Raises:
        UnreadableXmp: as :func:`retrieval.labels.xmp.parse_xmp`, which refuses document types, entities and depth
            before anything is built; too large to be edited; no RDF in it.
    """

    def __init__(self, data: bytes = b"") -> None:
        if len(data) > MOST_BYTES:
            raise UnreadableXmp(f"larger than {MOST_BYTES >> 20} MiB, which is read but not edited")
        parse_xmp(data or _EMPTY.encode())
        self._is_declared = bool(_DECLARED.match(data))
        plain = data if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.rstrip(b"\0")
        self._document: Document = parseString(plain or _EMPTY.encode())
        found = self._document.getElementsByTagNameNS(RDF, "RDF")
        if not found:
            raise UnreadableXmp("no RDF in it")
        self._rdf: Element = found[0]
        if not list(self._descriptions()):
            made = self._document.createElementNS(RDF, self._name(self._rdf, RDF, "Description"))
            made.setAttributeNS(RDF, self._name(self._rdf, RDF, "about"), "")
            self._rdf.appendChild(made)

    def to_bytes(self) -> bytes:
        """The file, in UTF-8."""
        parts = ['<?xml version="1.0" encoding="UTF-8"?>'] if self._is_declared else []
        parts += ["".join(_written(node)) for node in self._document.childNodes]
        return ("\n".join(parts) + "\n").encode("utf-8")

    def has_properties(self) -> bool:
        """Whether the document has any property."""
        about = (RDF, "about")
        return any(
            child.nodeType == Node.ELEMENT_NODE for each in self._descriptions() for child in each.childNodes
        ) or any(
            attribute.namespaceURI != XMLNS and (attribute.namespaceURI, attribute.localName) != about
            for each in self._descriptions()
            for attribute in each.attributes.values()
        )

    # Properties with one value

    def value(self, namespace: str, name: str) -> str | None:
        """The text of a property with one value; None if it is missing."""
        for description in self._descriptions():
            if description.hasAttributeNS(namespace, name):
                return str(description.getAttributeNS(namespace, name))
            for element in _children(description, namespace, name):
                return _text(element)
        return None

    def set_value(self, namespace: str, name: str, value: str | None) -> None:
        """Set a property with one value in place, or else as an attribute; None removes it."""
        is_set = False
        for description in self._descriptions():
            if description.hasAttributeNS(namespace, name):
                if value is None or is_set:
                    description.removeAttributeNS(namespace, name)
                else:
                    attribute: Any = description.getAttributeNodeNS(namespace, name)
                    attribute.value = value
                is_set = True
            for element in _children(description, namespace, name):
                if value is None or is_set:
                    _remove(element)
                else:
                    self._set_text(element, value)
                is_set = True
        if value is not None and not is_set:
            first = next(self._descriptions())
            first.setAttributeNS(namespace, self._name(first, namespace, name), value)

    # Properties with several values

    def has_items(self, namespace: str, name: str) -> bool:
        """Whether there is a list of this name."""
        return any(_children(each, namespace, name) for each in self._descriptions())

    def items(self, namespace: str, name: str) -> list[str]:
        """The texts of a list."""
        return [_text(item) for item in self._items(namespace, name)]

    def add_items(self, namespace: str, name: str, texts: Sequence[str]) -> None:
        """Append texts to a list, which is created if it is missing."""
        if not texts:
            return
        bag = self._container(namespace, name, "Bag")
        for text in texts:
            self._new_item(bag, text)

    def remove_items(self, namespace: str, name: str, texts: Sequence[str]) -> None:
        """Remove texts from a list, ignoring case; an empty list is removed, too."""
        gone = {fold(text.strip()) for text in texts}
        for item in self._items(namespace, name):
            if fold(_text(item).strip()) in gone:
                _remove(item)
        if gone and not self._items(namespace, name):
            for description in self._descriptions():
                for element in _children(description, namespace, name):
                    _remove(element)

    # Texts by language

    def set_default_text(self, namespace: str, name: str, value: str | None) -> None:
        """Set the text in the default language; those in other languages stay. None removes it."""
        if any(each.hasAttributeNS(namespace, name) for each in self._descriptions()):
            self.set_value(namespace, name, value)  # the short form
            return
        items = self._items(namespace, name)
        ours = [item for item in items if item.getAttributeNS(XML, "lang") in ("x-default", "")]
        for item in ours[1:] if value is not None else ours:
            _remove(item)
        if value is None:
            if len(items) == len(ours):
                self.remove_items(namespace, name, [""])
            return
        if ours:
            self._set_text(ours[0], value)
        else:
            item = self._new_item(self._container(namespace, name, "Alt"), value, first=True)
            item.setAttributeNS(XML, "xml:lang", "x-default")

    # Implementation

    def _descriptions(self) -> Iterator[Element]:
        yield from _children(self._rdf, RDF, "Description")

    def _items(self, namespace: str, name: str) -> list[Element]:
        return [
            item
            for description in self._descriptions()
            for element in _children(description, namespace, name)
            for kind in ("Bag", "Seq", "Alt")
            for container in _children(element, RDF, kind)
            for item in _children(container, RDF, "li")
        ]

    def _container(self, namespace: str, name: str, kind: str) -> Element:
        for description in self._descriptions():
            for element in _children(description, namespace, name):
                for each in ("Bag", "Seq", "Alt"):
                    if found := _children(element, RDF, each):
                        return found[0]
        first = next(self._descriptions())
        element = self._document.createElementNS(namespace, self._name(first, namespace, name))
        container = self._document.createElementNS(RDF, self._name(first, RDF, kind))
        element.appendChild(container)
        first.appendChild(element)
        return container

    def _new_item(self, container: Element, text: str, *, first: bool = False) -> Element:
        item = self._document.createElementNS(RDF, self._name(container, RDF, "li"))
        item.appendChild(self._document.createTextNode(text))
        container.insertBefore(item, container.firstChild if first else None)
        return item

    def _set_text(self, element: Element, text: str) -> None:
        while element.firstChild is not None:
            element.removeChild(element.firstChild)
        element.appendChild(self._document.createTextNode(text))

    def _name(self, at: Element, namespace: str, name: str) -> str:
        """A name with this document's prefix for its namespace; a missing prefix is declared."""
        bound: dict[str, str] = {}
        node: Any = at
        while node is not None and node.nodeType == Node.ELEMENT_NODE:
            for attribute in list(node.attributes.values()):
                if attribute.namespaceURI == XMLNS and attribute.prefix == "xmlns":
                    bound.setdefault(attribute.localName, attribute.value)
            node = node.parentNode
        for prefix, uri in bound.items():
            if uri == namespace:
                return f"{prefix}:{name}"
        prefix = PREFIXES.get(namespace, "ns")
        while prefix in bound:
            prefix += "_"
        at.setAttributeNS(XMLNS, f"xmlns:{prefix}", namespace)
        return f"{prefix}:{name}"


def _children(element: Element, namespace: str, name: str) -> list[Element]:
    return [
        child
        for child in element.childNodes
        if child.nodeType == Node.ELEMENT_NODE and (child.namespaceURI, child.localName) == (namespace, name)
    ]


def _remove(element: Any) -> None:
    """Remove an element and the whitespace before it, which would be left as an empty line."""
    parent, before = element.parentNode, element.previousSibling
    if before is not None and before.nodeType == Node.TEXT_NODE and not before.data.strip():
        parent.removeChild(before)
    parent.removeChild(element)


def _text(element: Element) -> str:
    children: list[Any] = list(element.childNodes)
    return "".join(each.data for each in children if each.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE))


def _written(node: Any) -> Iterator[str]:
    if node.nodeType == Node.ELEMENT_NODE:
        yield f"<{node.tagName}"
        for name, value in node.attributes.items():
            yield f' {name}="{_escaped(value, attribute=True)}"'
        if not node.childNodes:
            yield "/>"
            return
        yield ">"
        for child in node.childNodes:
            yield from _written(child)
        yield f"</{node.tagName}>"
    elif node.nodeType == Node.TEXT_NODE:
        yield _escaped(node.data)
    elif node.nodeType == Node.CDATA_SECTION_NODE:
        yield f"<![CDATA[{node.data}]]>"
    elif node.nodeType == Node.COMMENT_NODE:
        yield f"<!--{node.data}-->"
    elif node.nodeType == Node.PROCESSING_INSTRUCTION_NODE:
        yield f"<?{node.target} {node.data}?>"


def _escaped(text: str, *, attribute: bool = False) -> str:
    """Escaped for XML 1.0 (2.11, 3.3.3): line breaks in attributes, and carriage returns, as character references."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    if attribute:
        text = text.replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return text
