"""Tables and figures from the CSV and JSON files of the stages before; nothing here imports torch."""
