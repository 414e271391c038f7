"""Pages that need nothing but themselves: the report of a run, read from its folder alone, and that of an audit."""

from prebake.report.audit_files import require_audit_output, save_audit
from prebake.report.audit_page import write_audit
from prebake.report.page import write_report

__all__ = ["require_audit_output", "save_audit", "write_audit", "write_report"]
