"""How Sphinx builds the documentation: ``make docs``. Pages are Markdown (MyST), the API comes from the docstrings."""

import importlib
import pkgutil
import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimg2vec.version import __version__

project = 'mmimg2vec'
copyright = 'the authors of mmimg2vec'
release = version = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3
html_theme = 'furo'
html_title = f'mmimg2vec {__version__}'
html_static_path: list[str] = []

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_default_options = {'members': True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
# A name in a docstring that leads nowhere is an error.
nitpicky = True


class Package(SphinxDirective):
    """``.. package:: mmimg2vec.models`` documents every module of a package, each under a heading of its own."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """List the modules and have autodoc read them."""
        package = importlib.import_module(self.arguments[0])
        found = [package.__name__]
        if hasattr(package, '__path__'):
            found += [module.name for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.')]
        lines = []
        for name in found:
            module = importlib.import_module(name)
            # A package's own names are documented where they are defined.
            members = ':no-members:' if hasattr(module, '__path__') else ':members:'
            lines += [name, '=' * len(name), '', f'.. automodule:: {name}', f'   {members}', '']
        container = nodes.section()
        container.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, self.arguments[0]), container)
        return container.children


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Node
) -> nodes.Node | None:
    """Resolve a reference by the end of its name, where one thing alone is named so.

    Docstrings name a class as its module knows it (``RandomTokenMask``) or by the package that offers it
    (``mmimg2vec.models.RandomTokenMask``), and not by the file where it happens to be defined.
    """
    if node.get('refdomain') != 'py':
        return None
    parts = node['reftarget'].split('.')
    # METHOD of CLASS, or the name alone
    name = '.'.join(parts[-2:] if len(parts) > 1 and parts[-2][:1].isupper() else parts[-1:])
    domain = env.get_domain('py')
    objects = [key for key in domain.objects if key.endswith(f'.{name}') and not domain.objects[key].aliased]
    if len(objects) == 1:
        node['reftarget'] = objects[0]
        return domain.resolve_xref(env, node['refdoc'], app.builder, node['reftype'], objects[0], node, contnode)
    # What is other projects' stays words; of ours a role in a text has to lead somewhere, a type in a signature need
    # not.
    foreign = len(parts) > 1 and parts[0] != project and parts[0] in sys.modules
    return contnode if foreign or not isinstance(contnode, nodes.literal) else None


def setup(app: Sphinx) -> None:
    """Add the directive and the rule above."""
    app.add_directive('package', Package)
    app.connect('missing-reference', find_by_last_name)
