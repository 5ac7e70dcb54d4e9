"""Write the report pages of a study."""

from pathlib import Path

from windtunnel.analysis.report.write import write_curve_report, write_report
from windtunnel.sweeps.pipeline.curve_pipeline import make_curve_report
from windtunnel.sweeps.pipeline.pipeline import PipelineResult, make_report
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import Log
from windtunnel.sweeps.study.plan import Plan


def write_reports(plan: Plan, result: PipelineResult, folder: ResultsFolder, log: Log) -> list[Path]:
    """Write the pages that this study has and return their paths, the main report first: the page on final losses,
    or of a study that fits curves only, the page on curves.
    """
    pages = []
    if result.curves is not None:
        page = folder.curves_page if result.fits else folder.report_page
        log("drawing the report of curves")
        write_curve_report(make_curve_report(plan, result.curves), folder.report, page.name)
        pages.append(page)
    if result.fits:
        log("drawing the report")
        write_report(make_report(result), folder.report)
        pages.insert(0, folder.report_page)  # written last: `current_stage` compares its time with that of the records
    return pages
