use super::*;

#[tokio::test]
async fn listeners_are_woken_in_the_order_in_which_they_came() {
    for _ in 0..20 {
        let teller = Teller::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let (mut listener, order) = (teller.listen(), Arc::clone(&order));
                tokio::spawn(async move {
                    listener.changed().await.unwrap();
                    order.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        teller.tell(1);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..16).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_told_before_is_not_missed_and_the_end_is_told() {
    let teller = Teller::new(0);
    let mut early = teller.listen();
    teller.tell(1);
    let mut late = teller.listen();
    let mut clone = early.clone();
    assert_eq!(early.changed().await, Ok(()));
    assert_eq!((early.latest(), clone.latest(), late.latest()), (1, 1, 1));
    assert!(teller.is_heard());
    drop(teller);
    assert_eq!(late.changed().await, Err(Ended));
    assert_eq!(early.changed().await, Err(Ended));
    assert_eq!(clone.changed().await, Err(Ended), "it was seen");
}

#[tokio::test]
async fn a_value_told_before_the_end_comes_before_the_end() {
    let teller = Teller::new(0);
    let mut listener = teller.listen();
    teller.tell(7);
    drop(teller);
    assert_eq!(listener.changed().await, Ok(()));
    assert_eq!(listener.latest(), 7);
    assert_eq!(listener.changed().await, Err(Ended));
}

#[test]
fn nobody_listens_once_all_are_gone() {
    let teller = Teller::new(());
    assert!(!teller.is_heard());
    let listener = teller.listen();
    let second = listener.clone();
    drop(listener);
    assert!(teller.is_heard());
    drop(second);
    assert!(!teller.is_heard());
}
