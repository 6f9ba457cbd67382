"""The runners of Beam that a preparation may be given to; importable without Beam."""

IN_PROCESS = "DirectRunner"
RUNNERS = (IN_PROCESS, "DataflowRunner", "FlinkRunner", "SparkRunner")
