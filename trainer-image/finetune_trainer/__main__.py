"""`finetune-trainer`, also as `python -m finetune_trainer`."""

from finetune_trainer.cli.app import main

if __name__ == "__main__":
    main()
