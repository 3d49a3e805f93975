"""Import what others wrote: eye-tracker recordings (`recordings/`), published maps and raw data sets."""
