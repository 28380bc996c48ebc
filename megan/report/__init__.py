"""Tables and figures from the CSV and JSON files of earlier stages. Nothing here imports torch."""
